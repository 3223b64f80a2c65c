package ledger

import (
	"context"
	"fmt"
	"slices"

	"github.com/fx-risk-ai/annals/schema"
)

// Head finds the newest commit of a stream. The error is NotFound when the
// stream has no chain.
func (l *Ledger) Head(ctx context.Context, s schema.Stream) (Head, error) {
	if err := checkStream(s); err != nil {
		return Head{}, err
	}
	seq, err := l.newest(ctx, s)
	if err != nil {
		return Head{}, fmt.Errorf("find head: %w", err)
	}
	if seq < 0 {
		return Head{}, schema.Errorf(schema.NotFound, "find head: %s has no commits", s)
	}
	found, err := l.commit(ctx, s, seq)
	if err != nil {
		return Head{}, fmt.Errorf("find head: %w", err)
	}
	head, err := l.headAt(ctx, s, found)
	if err != nil {
		return Head{}, fmt.Errorf("find head: %w", err)
	}
	return head, nil
}

// Genesis reads the first commit of a stream. The error is Corrupt when it is
// not there.
func (l *Ledger) Genesis(ctx context.Context, s schema.Stream) (*schema.Commit, error) {
	if err := checkStream(s); err != nil {
		return nil, err
	}
	first, err := l.commit(ctx, s, 0)
	if err != nil {
		return nil, fmt.Errorf("read genesis: %w", missing(err, s, 0))
	}
	return first.Commit, nil
}

// newest is the highest seq that a stream's folder lists, and -1 for none. It
// does not look for holes: on a store over a file system a listing that runs
// while commits are written may miss some, and a head too old only loses.
func (l *Ledger) newest(ctx context.Context, s schema.Stream) (int64, error) {
	var folders []string
	for folder, err := range l.store.Folders(ctx, schema.LedgerStreamPrefix(s), "") {
		if err != nil {
			return 0, err
		}
		folders = append(folders, folder)
	}
	// A store over a file system may keep a folder without commits after a
	// crash: then the newest commit is in the one before.
	for _, folder := range slices.Backward(folders) {
		newest := int64(-1)
		for object, err := range l.store.List(ctx, folder, "") {
			if err != nil {
				return 0, err
			}
			_, seq, err := schema.ParseLedgerKey(object.Key)
			if err != nil {
				return 0, err
			}
			newest = max(newest, seq)
		}
		if newest >= 0 {
			return newest, nil
		}
	}
	return -1, nil
}

// headAt is the head as of a commit. It takes the stream's next offset from it if
// it moves next, else from the newest before it that does: a genesis does, so
// there is always one. An end is found on the way: of what may stand behind
// one only a divergence moves next, and that takes the end back.
func (l *Ledger) headAt(ctx context.Context, s schema.Stream, e Entry) (Head, error) {
	head := Head{Commit: e.Commit, Digest: e.Digest}
	for !e.Commit.Kind.MovesNext() {
		head.Ended = head.Ended || e.Commit.Kind == schema.KindEnd
		seq := e.Commit.Seq
		before, err := l.commit(ctx, s, seq-1)
		if err != nil {
			return Head{}, missing(err, s, seq-1)
		}
		if *e.Commit.Previous != before.Digest {
			return Head{}, schema.Errorf(schema.Corrupt, "commit %d of %s: names another previous commit than the one that is there", seq, s)
		}
		e = before
	}
	return head.moved(e.Commit), nil
}

// missing turns a NotFound for a commit that must be there into Corrupt.
func missing(err error, s schema.Stream, seq int64) error {
	if schema.KindOf(err) == schema.NotFound {
		return schema.Errorf(schema.Corrupt, "commit %d of %s is missing: %w", seq, s, err)
	}
	return err
}
