package objstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/fx-risk-ai/annals/internal/doctor"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
)

// ProbeFolder is below which, under the archive's prefix, the examination of a
// store writes: ProbeFolder/<random>/….
const ProbeFolder = "doctor"

// DefaultRounds is how many rounds of each race an examination runs, unless
// told otherwise: enough to lose one that can be lost. SeaweedFS up to 4.16
// lost its first one with three writers (seaweedfs#8800).
const DefaultRounds = 20

const (
	probeWriters = 32
	quickWriters = 8
	quickRounds  = 3
)

// probe is one examination's own folder, and what was written into it.
type probe struct {
	store  *Store
	folder string // "doctor/0123456789abcdef/"
	clock  doctor.Offset
	late   lateness

	mu   sync.Mutex
	keys []string
}

func (s *Store) newProbe() *probe {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, it panics instead
	return &probe{store: s, folder: ProbeFolder + "/" + hex.EncodeToString(b[:]) + "/", late: lateness{held: map[string]string{}}}
}

// key names an object of the probe's, to be deleted at its end.
func (p *probe) key(name string, args ...any) string {
	key := p.folder + fmt.Sprintf(name, args...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, key)
	return key
}

// Examine looks at the store: what it promises (the package's comment says what
// Annals needs), the bucket's versioning and lock, and its clock. With
// DefaultRounds it sends about 1,700 requests and takes three seconds where one
// takes a millisecond. Everything that is written is small, below ProbeFolder,
// and deleted at the end, where that is allowed.
func (s *Store) Examine(ctx context.Context, rounds int) []doctor.Check {
	p := s.newProbe()
	begin := time.Now()
	if err := s.Ping(ctx); err != nil {
		return p.unreachable(err)
	}
	checks := []doctor.Check{doctor.Well(doctor.S3Reach, "%s answers, in %s", s.name(""), time.Since(begin).Round(time.Millisecond))}
	checks = append(checks, p.create(ctx, rounds), p.swap(ctx, rounds), p.reads(ctx), p.lists(ctx), p.ranges(ctx), p.checksums(ctx))
	lock, kept := p.lock(ctx)
	given := time.Now()
	p.giveUp(ctx)
	p.timed(ctx) // a second, for what comes late
	return append(checks, p.look(ctx, given), lock, p.clock.Check(doctor.ClockS3, "the Date of its answers"), p.cleanup(ctx, kept))
}

// Preflight is what an archiver asks of a store before it writes: three rounds
// of each race with eight writers, the two races side by side, without the rest
// of Examine. About 70 requests, of which 14 wait for one another: measured,
// 0.1 s on the embedded store and 0.9 s where each request takes 50 ms longer.
// The error wraps ErrNotAtomic where the store fails; any other error means
// that it could not be asked.
func (s *Store) Preflight(ctx context.Context) error {
	p := s.newProbe()
	if err := s.Ping(ctx); err != nil {
		return err
	}
	defer func() {
		if err := p.sweep(ctx); err != nil {
			s.logger.WarnContext(ctx, "what the store was tried with could not be deleted", "component", "objstore", "keys", s.name(p.folder), "err", err)
		}
	}()
	var created, replaced error
	var group sync.WaitGroup
	group.Go(func() { created = p.quick(ctx, p.creations) })
	group.Go(func() { replaced = p.quick(ctx, p.replacements) })
	group.Wait()
	if errors.Is(replaced, ErrNotAtomic) || created == nil {
		return replaced // that the store fails weighs more than that it was not to be asked
	}
	return created
}

// quick runs a race's few rounds.
func (p *probe) quick(ctx context.Context, race func(context.Context, int, int) (races, string)) error {
	rounds, unsafe := race(ctx, quickRounds, quickWriters)
	switch {
	case unsafe != "":
		return schema.WithHint(schema.Errorf(schema.Conflict, "%s: %w: %s (%s)", p.store.name(""), ErrNotAtomic, unsafe, rounds.String()),
			"run annals doctor, which says more, and keep the archive in a store that passes it")
	case rounds.err != nil:
		return rounds.err
	case rounds.undecided == rounds.rounds:
		return schema.Errorf(schema.Unavailable, "try conditional writes in %s: no round was decided (%s)", p.store.name(""), rounds.String())
	}
	return nil
}

const todoReach = "check s3.endpoint, s3.region, s3.bucket, the keys, and the way there; annals makes no bucket in a store of your own"

// unreachable reports a store that does not even say that the bucket is there.
func (p *probe) unreachable(err error) []doctor.Check {
	if codeOf(err) != "RequestTimeTooSkewed" {
		return []doctor.Check{doctor.Ill(doctor.S3Reach, doctor.Failed, todoReach, "%v", err)}
	}
	const todo = "set this machine's clock, or the store's: they must be less than 15 minutes apart, and should follow the same time servers (NTP)"
	return []doctor.Check{
		doctor.Ill(doctor.S3Reach, doctor.Failed, todo, "%v", err),
		doctor.Ill(doctor.ClockS3, doctor.Failed, todo, "the store refuses requests for their time"),
	}
}

const todoAtomic = "do not keep an archive here: two archivers could overwrite each other's commits, and the archiver refuses to start. Known: SeaweedFS up to 4.16, RustFS before the fix of its #1659 behind several addresses; update the store, or use another one"

// create races to create objects.
func (p *probe) create(ctx context.Context, rounds int) doctor.Check {
	seen, unsafe := p.creations(ctx, rounds, probeWriters)
	return judge(doctor.S3Create, &seen, unsafe)
}

// swap races to replace objects.
func (p *probe) swap(ctx context.Context, rounds int) doctor.Check {
	seen, unsafe := p.replacements(ctx, rounds, probeWriters)
	c := judge(doctor.S3Swap, &seen, unsafe)
	if c.Verdict == doctor.OK {
		c.Seen += "; of an absent object: " + p.swapAbsent(ctx)
	}
	return c
}

func judge(name string, rounds *races, unsafe string) doctor.Check {
	switch {
	case unsafe != "":
		return doctor.Ill(name, doctor.Failed, todoAtomic, "%s; %s", unsafe, rounds.String())
	case rounds.err != nil && schema.KindOf(rounds.err) != schema.Unavailable:
		return doctor.Ill(name, doctor.Failed, "the store must take conditional writes, and the keys must be allowed to Put and Get below "+ProbeFolder+"/", "%v", rounds.err)
	case rounds.rounds == 0:
		return doctor.Ill(name, doctor.Indeterminate, "ask for a round at least", "no round was run")
	case rounds.undecided > rounds.rounds/2:
		return doctor.Ill(name, doctor.Indeterminate, "run annals doctor again when the store is less busy", "%d of %d rounds were not decided; %s; %v", rounds.undecided, rounds.rounds, rounds.String(), rounds.err)
	default:
		return doctor.Well(name, "%s", rounds.String())
	}
}

// creations runs rounds of creating, and after each a creation that comes too
// late. unsafe is what shows that the store cannot be relied on, or "".
func (p *probe) creations(ctx context.Context, rounds, writers int) (t races, unsafe string) {
	for n := range rounds {
		key := p.key("create-%02d", n)
		r := p.store.Race(ctx, key, "", writers)
		if r.Err == nil && r.Holder >= 0 {
			if _, err := p.store.PutIfAbsent(ctx, key, []byte("late")); err == nil {
				unsafe = "an object that was there was created again: If-None-Match is ignored"
			}
		}
		t.add(r)
		p.late.raced(key, r)
		if t.err != nil || unsafe != "" {
			break
		}
	}
	return t, t.unsafe(unsafe)
}

// replacements is creations for If-Match.
func (p *probe) replacements(ctx context.Context, rounds, writers int) (t races, unsafe string) {
	for n := range rounds {
		key := p.key("swap-%02d", n)
		etag, err := p.seed(ctx, key)
		if errors.Is(err, ErrExists) || errors.Is(err, ErrUncertain) || errors.Is(err, ErrBusy) {
			t.unseeded(writers)
			continue
		}
		if err != nil {
			t.err = err
			break
		}
		if etag == "" {
			return t, "the store gives no ETag, so that nothing can be replaced safely"
		}
		r := p.store.Race(ctx, key, etag, writers)
		if r.Err == nil && r.Holder >= 0 {
			if _, err := p.store.PutIfMatch(ctx, key, etag, []byte("late")); err == nil {
				unsafe = "an object that had changed was replaced: If-Match is ignored"
			}
		}
		t.add(r)
		p.late.raced(key, r)
		if t.err != nil || unsafe != "" {
			break
		}
	}
	return t, t.unsafe(unsafe)
}

// seed creates what a round replaces. It is created, not written, and sent
// once: a copy of a plain PUT that arrives during the round, or behind it, puts
// the seed back and its ETag in force again, and the soundest store then has two
// winners, or none. Without an outcome that is known the round is not run: the
// request may still arrive, but what is there by then it cannot touch.
func (p *probe) seed(ctx context.Context, key string) (etag string, err error) {
	seed, err := p.store.PutIfAbsent(ctx, key, []byte("seed"))
	return seed.ETag, err
}

// unsafe is what shows that a store cannot be relied on: what was found beside
// the races, else in them, or "".
func (t *races) unsafe(beside string) string {
	var answer minio.ErrorResponse
	switch {
	case beside != "":
		return beside
	case len(t.unfair) > 0:
		return t.unfair[0]
	case errors.As(t.err, &answer) && answer.StatusCode == http.StatusNotImplemented:
		return "the store says that it has no conditional writes (501)"
	}
	return ""
}

// swapAbsent says how the store answers If-Match for what is not there: Amazon
// says 404, others 412.
func (p *probe) swapAbsent(ctx context.Context) string {
	_, err := p.store.PutIfMatch(ctx, p.key("absent"), `"d41d8cd98f00b204e9800998ecf8427e"`, []byte("x"))
	if err == nil {
		return "written, as Annals never asks"
	}
	if errors.Is(err, ErrChanged) {
		return "refused"
	}
	return err.Error()
}

// dateUnit is how much later than its Date says an answer may have been given:
// it counts whole seconds, and servers keep one for up to a second (fasthttp).
const dateUnit = 2 * time.Second

// timed reads the store's clock ten times over a second.
func (p *probe) timed(ctx context.Context) {
	for range 10 {
		asked := time.Now()
		header, err := p.dated(ctx)
		if err == nil {
			if shown, err := http.ParseTime(header.Get("Date")); err == nil {
				p.clock.Answer(shown, dateUnit, asked, time.Now())
			}
		}
		if retry.Sleep(ctx, 100*time.Millisecond) != nil {
			return
		}
	}
}

// dated is the head of any answer.
func (p *probe) dated(ctx context.Context) (http.Header, error) {
	full, err := p.store.full(p.folder + "create-00")
	if err != nil {
		return nil, err
	}
	stream, _, header, err := p.store.client.GetObject(ctx, p.store.bucket, full, minio.GetObjectOptions{})
	if err != nil {
		return nil, p.store.classify("get", p.folder, err)
	}
	drain(stream)
	return header, nil
}

// codeOf is S3's name for what went wrong, or "".
func codeOf(err error) string {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		return answer.Code
	}
	return ""
}
