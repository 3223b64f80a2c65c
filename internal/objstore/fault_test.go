package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/objstore"
	ot "github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/schema"
)

// broken opens a store whose requests of a kind break by the script, beside a
// sound one on the same prefix.
func broken(t *testing.T, match func(*http.Request) bool, faults ...ot.Fault) (sound, under *objstore.Store, f *ot.Faults) {
	t.Helper()
	options := ot.EmbeddedOptions(t)
	f = &ot.Faults{Base: options.Transport, Choose: ot.Script(match, faults...)}
	timeout := objstore.DefaultTimeout
	if len(faults) > 0 && faults[0] == ot.NoAnswer {
		timeout = 300 * time.Millisecond
	}
	return ot.Open(t, options), ot.Open(t, options, func(o *objstore.Options) {
		o.Transport, o.Timeout = f, timeout
	}), f
}

func repeat(f ot.Fault, n int) []ot.Fault {
	all := make([]ot.Fault, n)
	for i := range all {
		all[i] = f
	}
	return all
}

// TestPassingFaultsAreRepeated: what may be repeated is, and succeeds.
func TestPassingFaultsAreRepeated(t *testing.T) {
	body := bytes.Repeat([]byte("annals"), 5000)
	for name, c := range map[string]struct {
		method string
		faults []ot.Fault
		do     func(ctx context.Context, s *objstore.Store) error
	}{
		"put": {"PUT", []ot.Fault{ot.Lost, ot.ReplyLost, ot.Applied500, ot.SlowDown, ot.Refused, ot.FlippedBody, ot.SkewedClock}, func(ctx context.Context, s *objstore.Store) error {
			_, err := s.Put(ctx, "data/new", body)
			return err
		}},
		"get": {"GET", []ot.Fault{ot.Lost, ot.Error500, ot.Truncated, ot.SlowDown, ot.Refused, ot.FlippedAnswer, ot.SkewedClock}, func(ctx context.Context, s *objstore.Store) error {
			got, _, err := s.Get(ctx, "data/there", 1<<20)
			return same(got, body, err)
		}},
		"get, fewer bytes than were written": {"GET", []ot.Fault{ot.ShortAnswer}, func(ctx context.Context, s *objstore.Store) error {
			got, _, err := s.Get(ctx, "data/there", 1<<20)
			return same(got, body, err)
		}},
		"get range": {"GET", []ot.Fault{ot.Truncated, ot.ReplyLost, ot.Error500}, func(ctx context.Context, s *objstore.Store) error {
			got, err := s.GetRange(ctx, "data/there", 6, 60)
			return same(got, body[6:66], err)
		}},
		"stat": {"HEAD", []ot.Fault{ot.Lost, ot.SlowDown}, func(ctx context.Context, s *objstore.Store) error {
			_, err := s.Stat(ctx, "data/there")
			return err
		}},
		"list": {"GET", []ot.Fault{ot.Error500, ot.Truncated, ot.ShortAnswer, ot.Lost}, func(ctx context.Context, s *objstore.Store) error {
			n := 0
			for _, err := range s.List(ctx, "data/", "") {
				if err != nil {
					return err
				}
				n++
			}
			if n != 1 {
				return fmt.Errorf("%d objects listed", n)
			}
			return nil
		}},
		"delete": {"DELETE", []ot.Fault{ot.Error500, ot.ReplyLost}, func(ctx context.Context, s *objstore.Store) error {
			return s.Delete(ctx, "data/there")
		}},
	} {
		for _, fault := range c.faults {
			t.Run(name+", "+fault.String(), func(t *testing.T) {
				t.Parallel()
				sound, under, f := broken(t, ot.Method(c.method), fault)
				if _, err := sound.Put(t.Context(), "data/there", body); err != nil {
					t.Fatal(err)
				}
				if err := c.do(t.Context(), under); err != nil {
					t.Fatal(err)
				}
				if n := f.Count(c.method) + f.Count("LIST"); n != 2 {
					t.Errorf("%d requests, want 2", n)
				}
			})
		}
	}
}

func same(got, want []byte, err error) error {
	if err == nil && !bytes.Equal(got, want) {
		return fmt.Errorf("%d other bytes", len(got))
	}
	return err
}

// TestDamagedAnswersAreAskedForAgain: whoever is told Corrupt gives up, so it is
// said of what stays damaged, not of a few answers that were.
func TestDamagedAnswersAreAskedForAgain(t *testing.T) {
	for damaged, want := range map[int]schema.Kind{objstore.MaxAttempts - 1: schema.KindOf(nil), objstore.MaxAttempts: schema.Corrupt} {
		_, under, f := broken(t, ot.Method("GET"), repeat(ot.FlippedAnswer, damaged)...)
		if _, err := under.Put(t.Context(), "data/x", []byte("bytes")); err != nil {
			t.Fatal(err)
		}
		_, _, err := under.Get(t.Context(), "data/x", 100)
		if schema.KindOf(err) != want || f.Count("GET") != objstore.MaxAttempts {
			t.Errorf("%d damaged answers, %d requests: %v", damaged, f.Count("GET"), err)
		}
	}
}

// TestLastingFaultsEnd: attempts are bounded, and the error has its kind.
func TestLastingFaultsEnd(t *testing.T) {
	for _, c := range []struct {
		fault    ot.Fault
		kind     schema.Kind
		requests int
	}{
		{ot.SlowDown, schema.Unavailable, objstore.MaxAttempts},
		{ot.Lost, schema.Unavailable, objstore.MaxAttempts},
		{ot.Refused, schema.Unavailable, objstore.MaxAttempts},
		{ot.Forbidden, schema.Permission, 1},
		{ot.Expired, schema.Permission, 1},
		{ot.Full, schema.Exhausted, 1},
		{ot.FlippedBody, schema.Unavailable, objstore.MaxAttempts},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			t.Parallel()
			_, under, f := broken(t, ot.Method("PUT"), repeat(c.fault, 20)...)
			_, err := under.Put(t.Context(), "data/x", []byte("x"))
			if schema.KindOf(err) != c.kind || f.Count("PUT") != c.requests {
				t.Errorf("%d requests, %s: %v", f.Count("PUT"), schema.KindOf(err), err)
			}
			if errors.Is(err, objstore.ErrFull) != (c.fault == ot.Full) {
				t.Errorf("a full store, or another that is: %v", err)
			}
			if !strings.Contains(err.Error(), "data/x") {
				t.Errorf("the error does not name the object: %v", err)
			}
		})
	}
}

// TestConditionalWritesSayWhatHappened: one request each, and the right one of
// the outcomes.
func TestConditionalWritesSayWhatHappened(t *testing.T) {
	for _, c := range []struct {
		fault  ot.Fault
		err    error
		kind   schema.Kind
		stored bool
	}{
		{ot.None, nil, schema.Internal, true},
		{ot.Lost, objstore.ErrUncertain, schema.Unavailable, false},
		{ot.ReplyLost, objstore.ErrUncertain, schema.Unavailable, true},
		{ot.Error500, objstore.ErrUncertain, schema.Unavailable, false},
		{ot.Applied500, objstore.ErrUncertain, schema.Unavailable, true},
		{ot.SlowDown, objstore.ErrUncertain, schema.Unavailable, false},
		{ot.Late, objstore.ErrUncertain, schema.Unavailable, false},
		{ot.NoAnswer, objstore.ErrUncertain, schema.Unavailable, false},
		{ot.Conflict, objstore.ErrBusy, schema.Unavailable, false},
		{ot.Refused, nil, schema.Unavailable, false},
		{ot.FlippedBody, nil, schema.Unavailable, false},
		{ot.Full, objstore.ErrFull, schema.Exhausted, false},
		{ot.Forbidden, nil, schema.Permission, false},
		{ot.Expired, nil, schema.Permission, false},
		// A proxy repeated it: refused, and yet it is ours that is there.
		{ot.Twice, objstore.ErrExists, schema.Conflict, true},
	} {
		for _, op := range []string{"create", "swap"} {
			t.Run(op+", "+c.fault.String(), func(t *testing.T) {
				t.Parallel()
				sound, under, f := broken(t, ot.Method("PUT"), c.fault)
				key, want := "ledger/x", c.err
				var err error
				if op == "create" {
					_, err = under.PutIfAbsent(t.Context(), key, []byte("mine"))
				} else {
					if want == objstore.ErrExists {
						want = objstore.ErrChanged
					}
					seed, putErr := sound.Put(t.Context(), key, []byte("seed"))
					if putErr != nil {
						t.Fatal(putErr)
					}
					_, err = under.PutIfMatch(t.Context(), key, seed.ETag, []byte("mine"))
				}
				if f.Count("PUT") != 1 {
					t.Errorf("%d requests, want 1", f.Count("PUT"))
				}
				checkOutcome(t, err, want, c.kind)
				got, _, getErr := sound.Get(t.Context(), key, 10)
				if stored := string(got) == "mine"; stored != c.stored {
					t.Errorf("stored %v: %q, %v", stored, got, getErr)
				}
				if n, err := f.Deliver(); c.fault == ot.Late && (n != 1 || err != nil) {
					t.Errorf("delivered %d, %v", n, err)
				} else if got, _, err := sound.Get(t.Context(), key, 10); n == 1 && string(got) != "mine" {
					t.Errorf("after the late delivery: %q, %v", got, err)
				}
			})
		}
	}
}

// checkOutcome: err is nil, or is want and nothing else, of a kind.
func checkOutcome(t *testing.T, err, want error, kind schema.Kind) {
	t.Helper()
	if kind == schema.Internal {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if schema.KindOf(err) != kind {
		t.Errorf("kind %s, want %s: %v", schema.KindOf(err), kind, err)
	}
	for _, outcome := range []error{objstore.ErrBusy, objstore.ErrChanged, objstore.ErrExists, objstore.ErrFull, objstore.ErrUncertain} {
		if errors.Is(err, outcome) != (outcome == want) {
			t.Errorf("is %q: %v: %v", outcome, errors.Is(err, outcome), err)
		}
	}
}

func TestRangesThatAreIgnoredOrShortAreNotTaken(t *testing.T) {
	for fault, kind := range map[ot.Fault]schema.Kind{ot.Unranged: schema.Internal, ot.ShortAnswer: schema.Corrupt} {
		sound, under, _ := broken(t, ot.Method("GET"), repeat(fault, 9)...)
		if _, err := sound.Put(t.Context(), "data/x", []byte("0123456789")); err != nil {
			t.Fatal(err)
		}
		if got, err := under.GetRange(t.Context(), "data/x", 4, 4); schema.KindOf(err) != kind || err == nil {
			t.Errorf("%s: %q, %v", fault, got, err)
		}
	}
}

// TestContextsEndRequests: soon, and visibly so.
func TestContextsEndRequests(t *testing.T) {
	options := ot.EmbeddedOptions(t)
	f := &ot.Faults{Base: options.Transport, Choose: ot.Script(func(*http.Request) bool { return true }, repeat(ot.NoAnswer, 20)...)}
	// Only the context ends one: an attempt's own time is far longer.
	under := ot.Open(t, options, func(o *objstore.Options) { o.Transport, o.Timeout = f, time.Minute })
	begin := time.Now()
	for name, do := range map[string]func(context.Context) error{
		"get":    func(ctx context.Context) error { _, _, err := under.Get(ctx, "x", 1); return err },
		"put":    func(ctx context.Context) error { _, err := under.Put(ctx, "x", nil); return err },
		"create": func(ctx context.Context) error { _, err := under.PutIfAbsent(ctx, "x", nil); return err },
		"list": func(ctx context.Context) error {
			for _, err := range under.List(ctx, "", "") {
				return err
			}
			return nil
		},
	} {
		f.Reset()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		err := do(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || f.Count("GET")+f.Count("PUT")+f.Count("LIST") != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, objstore.ErrUncertain) != (name == "create") {
			t.Errorf("%s: uncertain or not: %v", name, err)
		}
		if err := do(ctx); err == nil || errors.Is(err, objstore.ErrUncertain) {
			t.Errorf("%s on a context that has ended: %v", name, err)
		}
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestAttemptsHaveADeadline(t *testing.T) {
	sound, under, f := broken(t, ot.Method("GET"), ot.NoAnswer)
	if _, err := sound.Put(t.Context(), "data/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	// The first attempt is never answered; if it had no deadline of its own,
	// this would not end.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, _, err := under.Get(ctx, "data/x", 9); err != nil || f.Count("GET") < 2 {
		t.Fatalf("%d requests, %v", f.Count("GET"), err)
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	good := objstore.Options{Endpoint: "127.0.0.1:9", Bucket: "annals", AccessKey: "a", SecretKey: "b"}
	for field, edit := range map[string]func(*objstore.Options){
		"endpoint":    func(o *objstore.Options) { o.Endpoint = "http://127.0.0.1:9/x" },
		"bucket":      func(o *objstore.Options) { o.Bucket = "" },
		"prefix":      func(o *objstore.Options) { o.Prefix = "a/../b" },
		"access_key":  func(o *objstore.Options) { o.SecretKey = "" },
		"credentials": func(o *objstore.Options) { o.Credentials = "magic" },
		"page_keys":   func(o *objstore.Options) { o.PageKeys = 5000 },
	} {
		bad := good
		edit(&bad)
		_, err := objstore.Open(bad)
		var named *schema.Error
		if !errors.As(err, &named) || named.Field != field || named.Kind != schema.Invalid {
			t.Errorf("%s: %v", field, err)
		}
	}
	s, err := objstore.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); schema.KindOf(err) != schema.Unavailable {
		t.Errorf("nobody listens, and Ping says %v", err)
	}
}

// TestBucketsAreAddressedAsAsked looks at the requests only: no name resolves.
func TestBucketsAreAddressedAsAsked(t *testing.T) {
	for pathStyle, want := range map[bool]string{
		true: "s3.example.com/annals/a/b/x%2525", false: "annals.s3.example.com/a/b/x%2525",
	} {
		var got string
		s := ot.Open(t, objstore.Options{
			Endpoint: "s3.example.com", Region: "eu", Bucket: "annals", Prefix: "/a/b/", PathStyle: pathStyle, Secure: true,
			AccessKey: "a", SecretKey: "b",
			Transport: &ot.Faults{Choose: func(r *http.Request) ot.Fault {
				got = r.URL.Scheme + "://" + r.URL.Host + r.URL.EscapedPath()
				return ot.Forbidden
			}},
		})
		_, err := s.Put(t.Context(), "x%25", nil)
		if schema.KindOf(err) != schema.Permission || got != "https://"+want {
			t.Errorf("path style %v: %s, %v", pathStyle, got, err)
		}
	}
}

func TestKeysFromTheEnvironment(t *testing.T) {
	options := ot.EmbeddedOptions(t)
	t.Setenv("AWS_ACCESS_KEY_ID", options.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", options.SecretKey)
	options.AccessKey, options.SecretKey, options.Credentials = "", "", objstore.CredentialsEnv
	if err := ot.Open(t, options).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNoBucketIsSaid(t *testing.T) {
	options := ot.EmbeddedOptions(t)
	options.Bucket = "annals-another"
	s := ot.Open(t, options)
	if err := s.Ping(t.Context()); schema.KindOf(err) != schema.NotFound {
		t.Errorf("no bucket, and Ping says %v", err)
	}
	if _, err := s.Put(t.Context(), "x", nil); schema.KindOf(err) != schema.NotFound {
		t.Errorf("no bucket, and Put says %v", err)
	}
	if _, err := s.PutIfMatch(t.Context(), "x", "etag", nil); schema.KindOf(err) != schema.NotFound {
		t.Errorf("no bucket, and PutIfMatch says %v", err)
	}
	wrong := options
	wrong.SecretKey = "wrong"
	if err := ot.Open(t, wrong).Ping(t.Context()); schema.KindOf(err) != schema.Permission {
		t.Errorf("wrong key, and Ping says %v", err)
	}
}
