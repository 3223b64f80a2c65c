package registry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/schema"
)

// Store is where schemas are kept. objstore.Store is one.
type Store interface {
	Get(ctx context.Context, key string, limit int64) ([]byte, objstore.Object, error)
	// PutIfAbsent answers objstore.ErrExists where the key is taken.
	PutIfAbsent(ctx context.Context, key string, body []byte) (objstore.Object, error)
}

// Fetcher asks a registry. Unavailable: it may know later; NotFound: it does
// not know; Invalid: what it said is of no use.
type Fetcher interface {
	Fetch(ctx context.Context, id extract.SchemaID) (payload.Source, error)
}

// Options of a Decoder. Store and Name are required.
type Options struct {
	Store   Store
	Name    string        // of the registry: the folder below schemas/
	Fetcher Fetcher       // nil: only what is archived is decoded
	Timeout time.Duration // of one look-up, all its requests together; 2 s if zero
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// Bounds of a Decoder.
const (
	maxKnown      = 10_000 // schemas in memory
	firstPause    = time.Second
	longestPause  = time.Minute
	unknownFor    = time.Minute      // until a schema that was not there is asked for again
	strangers     = 100              // look-ups in a span, and
	patience      = 3 * time.Second  // the time that they may take together, beyond
	span          = 10 * time.Second // which nobody asks until it has passed
	usualTimeout  = 2 * time.Second
	maxSchemaSize = 4 << 20
)

// Decoder decodes payloads by the schemas that they name.
type Decoder struct {
	options Options

	mu    sync.RWMutex
	known map[extract.SchemaID]known

	asking  sync.Mutex // one look-up at a time; guards what follows
	until   time.Time  // nobody asks before
	pause   time.Duration
	since   time.Time // when the span began
	counted int       // look-ups in it
	spent   time.Duration
}

// known is what a look-up gave: a codec, or why there is none.
type known struct {
	codec payload.Codec
	code  string
	until time.Time // look again from then on; zero: never
}

// NewDecoder makes a Decoder. It asks for nothing yet.
func NewDecoder(options Options) *Decoder {
	if options.Timeout == 0 {
		options.Timeout = usualTimeout
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	return &Decoder{options: options, known: map[extract.SchemaID]known{}}
}

// Decode implements extract.Decoder.
func (d *Decoder) Decode(id extract.SchemaID, indexes, body []byte) (text []byte, code string) {
	k := d.find(id)
	if k.codec == nil {
		return nil, k.code
	}
	text, err := k.codec.JSON(indexes, body)
	if err != nil {
		return nil, extract.Undecodable
	}
	return text, ""
}

// Describe gives the type of a schema and the full name, in it, of what a payload
// is; "" where that is not known.
func (d *Decoder) Describe(id extract.SchemaID, indexes, body []byte) (kind, name string) {
	if k := d.find(id); k.codec != nil {
		return k.codec.Describe(indexes, body)
	}
	return "", ""
}

func (d *Decoder) find(id extract.SchemaID) known {
	d.mu.RLock()
	k, ok := d.known[id]
	d.mu.RUnlock()
	if ok && (k.until.IsZero() || d.options.Now().Before(k.until)) {
		return k
	}
	d.asking.Lock()
	defer d.asking.Unlock()
	d.mu.RLock()
	again, there := d.known[id] // another may have asked meanwhile
	d.mu.RUnlock()
	now := d.options.Now()
	if there && (again.until.IsZero() || now.Before(again.until)) {
		return again
	}
	found := d.look(id, now)
	if ok && k.codec != nil && found.codec == nil {
		found.codec, found.code = k.codec, "" // it could not be archived then, nor asked for now
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxKnown {
		clear(d.known)
	}
	d.known[id] = found
	return found
}

// look finds a schema outside of memory. Needs asking.
func (d *Decoder) look(id extract.SchemaID, now time.Time) known {
	if now.Before(d.until) {
		return known{code: extract.SchemaUnavailable, until: d.until}
	}
	if now.Sub(d.since) > span {
		d.since, d.counted, d.spent = now, 0, 0
	}
	if d.counted++; d.counted > strangers || d.spent > patience {
		return known{code: extract.SchemaUnavailable, until: d.since.Add(span)}
	}
	defer func() { d.spent += d.options.Now().Sub(now) }()
	ctx, cancel := context.WithTimeout(context.Background(), d.options.Timeout)
	defer cancel()
	source, err := d.archived(ctx, id)
	saved := err == nil
	if schema.KindOf(err) == schema.NotFound && d.options.Fetcher != nil {
		source, err = d.options.Fetcher.Fetch(ctx, id)
	}
	switch schema.KindOf(err) {
	case schema.NotFound:
		d.sound()
		return known{code: extract.SchemaUnknown, until: now.Add(unknownFor)}
	case schema.Invalid, schema.Corrupt:
		d.options.Logger.Warn("a schema is of no use; its records are archived as they are", "schema", id.String(), "err", err)
		return known{code: extract.SchemaMalformed, until: now.Add(unknownFor)}
	}
	if err != nil {
		return known{code: extract.SchemaUnavailable, until: d.failed(now, id, err)}
	}
	d.sound()
	k := d.compiled(id, source, now)
	if saved {
		return k
	}
	key := d.key(id)
	if k.codec == nil {
		key = schema.SchemaUnreadKey(d.options.Name, id.String()) // nobody reads by it, so a wrong answer does not stay
	}
	if err := d.archive(ctx, key, id, source); err != nil {
		// It is decoded by, and found and put again later.
		k.until = d.failed(now, id, err)
	}
	return k
}

func (d *Decoder) compiled(id extract.SchemaID, source payload.Source, now time.Time) known {
	codec, err := payload.Compile(source)
	if err != nil {
		d.options.Logger.Warn("a schema is of no use; its records are archived as they are", "schema", id.String(), "err", err)
		return known{code: extract.SchemaMalformed, until: now.Add(unknownFor)}
	}
	return known{codec: codec}
}

// sound says so where it was not: what was read meanwhile is not decoded by itself.
func (d *Decoder) sound() {
	if d.pause != 0 {
		d.options.Logger.Info("schemas can be looked up again; records that were read meanwhile have schema:unavailable among their errors until annals reindex --undecoded",
			"registry", d.options.Name)
	}
	d.pause = 0
}

// failed says when the next look-up may be.
func (d *Decoder) failed(now time.Time, id extract.SchemaID, err error) time.Time {
	d.pause = min(max(2*d.pause, firstPause), longestPause)
	d.until = now.Add(d.pause)
	d.options.Logger.Warn("a schema could not be looked up; its records are archived as they are, and decoded when they are read again (annals reindex --undecoded)",
		"schema", id.String(), "registry", d.options.Name, "retry_in", d.pause.String(), "err", err)
	return d.until
}

var errForeign = errors.New("it is for another schema")
