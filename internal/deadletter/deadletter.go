package deadletter

import (
	"context"
	"errors"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// Store is where letters are kept. *objstore.Store is one.
type Store interface {
	Get(ctx context.Context, key string, limit int64) ([]byte, objstore.Object, error)
	PutIfAbsent(ctx context.Context, key string, body []byte) (objstore.Object, error)
	PutIfMatch(ctx context.Context, key, etag string, body []byte) (objstore.Object, error)
}

// tries bounds how often a letter that others change is tried.
const tries = 5

// Put writes a letter, or adds its attempts to the one that is there.
func Put(ctx context.Context, store Store, l schema.DeadLetter) error {
	key := l.Key()
	var last error
	for range tries {
		raw, err := l.Encode()
		if err != nil {
			return err
		}
		if _, last = store.PutIfAbsent(ctx, key, raw); !errors.Is(last, objstore.ErrExists) {
			return wrap(last)
		}
		there, etag, err := get(ctx, store, key)
		if err != nil {
			return wrap(err)
		}
		if there.Last == l.Last && there.Writer == l.Writer && there.Attempts >= l.Attempts {
			return nil // ours, sent twice
		}
		sum := l
		sum.First, sum.Attempts = there.First, there.Attempts+l.Attempts
		if raw, err = sum.Encode(); err != nil {
			return err
		}
		_, last = store.PutIfMatch(ctx, key, etag, raw)
		if !errors.Is(last, objstore.ErrChanged) && !errors.Is(last, objstore.ErrBusy) {
			return wrap(last)
		}
	}
	return wrap(last)
}

// Get reads a letter. NotFound, Corrupt, or what the store says.
func Get(ctx context.Context, store Store, key string) (*schema.DeadLetter, error) {
	l, _, err := get(ctx, store, key)
	return l, err
}

func get(ctx context.Context, store Store, key string) (*schema.DeadLetter, string, error) {
	raw, object, err := store.Get(ctx, key, schema.MaxDeadLetterBytes)
	if schema.KindOf(err) == schema.Exhausted && err != nil {
		err = schema.Errorf(schema.Corrupt, "larger than any dead letter: %w", err)
	}
	if err != nil {
		return nil, "", err
	}
	l, err := schema.ParseDeadLetter(raw)
	if err == nil && l.Key() != key {
		err = schema.Errorf(schema.Corrupt, "dead letter %s is another's", key)
	}
	return l, object.ETag, err
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	return nil
}
