package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/doctor"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/schema"
)

func verdicts(checks []doctor.Check) map[string]doctor.Check {
	byName := map[string]doctor.Check{}
	for _, c := range checks {
		byName[c.Name] = c
	}
	return byName
}

// TestExamineASoundStore: all is well, and nothing remains.
func TestExamineASoundStore(t *testing.T) {
	s := objstoretest.Embedded(t)
	checks := s.Examine(t.Context(), objstore.DefaultRounds)
	for _, c := range checks {
		t.Logf("%s %s: %s", c.Verdict, c.Name, c.Seen)
		if c.Verdict != doctor.OK || c.Todo != "" {
			t.Errorf("%+v", c)
		}
	}
	if got := verdicts(checks); len(got) != 11 || !strings.Contains(got[doctor.S3Create].Seen, "20 rounds of 32 writers, 20 with one winner; 620 answers of 412") {
		t.Errorf("%d checks, %+v", len(got), got[doctor.S3Create])
	}
	for o, err := range s.List(t.Context(), "", "") {
		t.Errorf("remains: %s, %v", o.Key, err)
	}
}

// TestExamineFindsFlaws breaks a store in every way, and holds each check
// against the one that is its own.
func TestExamineFindsFlaws(t *testing.T) {
	for name, c := range map[string]struct {
		flaw   objstoretest.Flaw
		check  string
		want   doctor.Verdict
		says   string
		others []string // checks that may suffer too
	}{
		"check then put":    {objstoretest.CheckThenPut, doctor.S3Create, doctor.Failed, "each told that they had won", []string{doctor.S3Swap, doctor.S3Late}},
		"and then replace":  {objstoretest.CheckThenPut, doctor.S3Swap, doctor.Failed, "each told that they had won", []string{doctor.S3Create, doctor.S3Late}},
		"no conditions":     {objstoretest.NoConditions, doctor.S3Create, doctor.Failed, "If-None-Match is ignored", []string{doctor.S3Swap, doctor.S3Late}},
		"no If-Match":       {objstoretest.NoIfMatch, doctor.S3Swap, doctor.Failed, "If-Match is ignored", []string{doctor.S3Late}},
		"never creates":     {objstoretest.NeverCreates, doctor.S3Create, doctor.Failed, "nobody had won", []string{doctor.S3Swap, doctor.S3Late, doctor.ClockS3}},
		"busy":              {objstoretest.Busy, doctor.S3Create, doctor.Indeterminate, "3 of 3 rounds were not decided", []string{doctor.S3Swap, doctor.S3Late, doctor.ClockS3}},
		"not implemented":   {objstoretest.NotImplemented, doctor.S3Create, doctor.Failed, "no conditional writes (501)", []string{doctor.S3Swap, doctor.S3Late, doctor.ClockS3}},
		"stale reads":       {objstoretest.StaleReads, doctor.S3Read, doctor.Failed, `"the second one" was written and "first" read`, []string{doctor.ClockS3}},
		"stale heads":       {objstoretest.StaleHeads, doctor.S3Read, doctor.Failed, "HEAD says", nil},
		"stale lists":       {objstoretest.StaleLists, doctor.S3List, doctor.Failed, "after 2 writes the listing has 1 objects", nil},
		"unsorted lists":    {objstoretest.UnsortedLists, doctor.S3List, doctor.Failed, "not in the order of their keys", nil},
		"no ranges":         {objstoretest.NoRanges, doctor.S3Range, doctor.Failed, "were not answered so", nil},
		"no checksums":      {objstoretest.NoChecksums, doctor.S3Checksum, doctor.Failed, "were taken", nil},
		"no deletes":        {objstoretest.NoDeletes, doctor.S3Cleanup, doctor.Warning, "small objects remain", nil},
		"lock not shown":    {objstoretest.NoLockQuestions, doctor.S3Lock, doctor.Indeterminate, "injected", nil},
		"lock put off":      {objstoretest.LockQuestionsPutOff, doctor.S3Lock, doctor.OK, "versions are kept", nil},
		"no locks at all":   {objstoretest.NoLocks, doctor.S3Lock, doctor.OK, "no versions are kept; no object lock", nil},
		"suspended":         {objstoretest.Suspended, doctor.S3Lock, doctor.Warning, "versioning is suspended", nil},
		"clock behind":      {objstoretest.Slow, doctor.ClockS3, doctor.Warning, "behind this machine", nil},
		"clocks far apart":  {objstoretest.Skewed, doctor.ClockS3, doctor.Failed, "for their time", []string{doctor.S3Reach}},
		"may not write":     {objstoretest.ReadOnly, doctor.S3Create, doctor.Failed, "injected", []string{doctor.S3Swap, doctor.S3Late, doctor.S3Read, doctor.S3List, doctor.S3Range, doctor.S3Checksum, doctor.ClockS3}},
		"nothing but sound": {objstoretest.Sound, doctor.S3Create, doctor.OK, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := objstoretest.Embedded(t, objstoretest.Flaws(c.flaw))
			found := verdicts(s.Examine(t.Context(), 3))
			if got := found[c.check]; got.Verdict != c.want || !strings.Contains(got.Seen, c.says) || (got.Todo == "") != (c.want == doctor.OK) {
				t.Errorf("%+v, want %s with %q", got, c.want, c.says)
			}
			for _, other := range c.others {
				if _, ok := found[other]; !ok {
					t.Errorf("no %s", other)
				}
				delete(found, other)
			}
			delete(found, c.check)
			for _, rest := range found {
				if rest.Verdict != doctor.OK {
					t.Errorf("not its matter: %+v", rest)
				}
			}
		})
	}
}

// TestExamineFindsLateWrites: of stores that make a write whose client is gone,
// the one that asks for the condition then is sound, the one that did so before
// is not; where answers are lost on their way there is something to mend.
func TestExamineFindsLateWrites(t *testing.T) {
	for name, c := range map[string]struct {
		flaw objstoretest.Flaw
		want doctor.Verdict
		says string
	}{
		"sound":   {objstoretest.LateSound, doctor.OK, "were overtaken"},
		"blind":   {objstoretest.LateBlind, doctor.Failed, `held "second" when its writers had been answered, and holds "given up" now`},
		"no echo": {objstoretest.Unanswered, doctor.Warning, "conditional writes of the races had no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := verdicts(objstoretest.Embedded(t, objstoretest.Flaws(c.flaw)).Examine(t.Context(), 3))
			if got := found[doctor.S3Late]; got.Verdict != c.want || !strings.Contains(got.Seen, c.says) || (got.Todo == "") != (c.want == doctor.OK) {
				t.Errorf("%+v, want %s with %q", got, c.want, c.says)
			}
			delete(found, doctor.S3Late)
			for _, rest := range found {
				if rest.Verdict != doctor.OK {
					t.Errorf("not its matter: %+v", rest)
				}
			}
		})
	}
}

func TestExamineOutOfReach(t *testing.T) {
	for name, edit := range map[string]func(*objstore.Options){
		"nobody listens": func(o *objstore.Options) { o.Endpoint = "127.0.0.1:1" },
		"no bucket":      func(o *objstore.Options) { o.Bucket = "another" },
		"wrong key":      func(o *objstore.Options) { o.SecretKey = "wrong" },
	} {
		checks := objstoretest.Embedded(t, edit).Examine(t.Context(), 3)
		if len(checks) != 1 || checks[0].Name != doctor.S3Reach || checks[0].Verdict != doctor.Failed || checks[0].Todo == "" {
			t.Errorf("%s: %+v", name, checks)
		}
	}
}

// distant is a transport over a long way.
type distant struct {
	http.RoundTripper
	trip time.Duration
}

func (d distant) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(d.trip)
	return d.RoundTripper.RoundTrip(r)
}

func (d distant) CloseIdleConnections() {
	d.RoundTripper.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}

func TestPreflight(t *testing.T) {
	sound := objstoretest.Embedded(t)
	begin := time.Now()
	if err := sound.Preflight(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("a sound store takes %s", time.Since(begin))
	far := objstoretest.Embedded(t, func(o *objstore.Options) { o.Transport = distant{o.Transport, 50 * time.Millisecond} })
	begin = time.Now()
	if err := far.Preflight(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("one 50 ms away takes %s", time.Since(begin))
	for o, err := range sound.List(t.Context(), "", "") {
		t.Errorf("remains: %s, %v", o.Key, err)
	}
	for flaw, want := range map[objstoretest.Flaw]struct {
		refused bool
		kind    schema.Kind
	}{
		objstoretest.CheckThenPut:   {true, schema.Conflict},
		objstoretest.NoConditions:   {true, schema.Conflict},
		objstoretest.NoIfMatch:      {true, schema.Conflict},
		objstoretest.NeverCreates:   {true, schema.Conflict},
		objstoretest.NotImplemented: {true, schema.Conflict},
		objstoretest.Busy:           {false, schema.Unavailable},
		objstoretest.ReadOnly:       {false, schema.Permission},
		objstoretest.Skewed:         {false, schema.Unavailable},
	} {
		err := objstoretest.Embedded(t, objstoretest.Flaws(flaw)).Preflight(t.Context())
		if errors.Is(err, objstore.ErrNotAtomic) != want.refused || schema.KindOf(err) != want.kind {
			t.Errorf("flaw %d: %v, of kind %s", flaw, err, schema.KindOf(err))
		}
		var hinted *schema.Error
		if want.refused && (!errors.As(err, &hinted) || !strings.Contains(hinted.Hint, "annals doctor")) {
			t.Errorf("flaw %d: %v says nothing of annals doctor", flaw, err)
		}
	}
	if err := objstoretest.Embedded(t, objstoretest.Flaws(objstoretest.NoDeletes)).Preflight(t.Context()); err != nil {
		t.Errorf("a store that may not delete is sound: %v", err)
	}
}

// TestPreflightAndLateRequests: whatever arrives late, or twice, a sound store is
// never taken for one that is not. What shows nothing is asked again, and is no
// pass either.
func TestPreflightAndLateRequests(t *testing.T) {
	for name, c := range map[string]struct {
		copies int // of the requests that create what is replaced
		lost   bool
		kind   schema.Kind
	}{
		"one late":       {1, true, schema.KindOf(nil)},
		"one twice":      {1, false, schema.KindOf(nil)},
		"each one late":  {3, true, schema.Unavailable},
		"each one twice": {3, false, schema.KindOf(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			echo := &echo{copies: c.copies, lost: c.lost}
			s := objstoretest.Embedded(t, func(o *objstore.Options) {
				echo.RoundTripper = o.Transport
				o.Transport = echo
			})
			if err := s.Preflight(t.Context()); schema.KindOf(err) != c.kind || errors.Is(err, objstore.ErrNotAtomic) {
				t.Errorf("%v", err)
			}
			if echo.late != nil {
				echo.deliver()
			}
			if echo.delivered != c.copies {
				t.Errorf("%d requests came late, %d expected", echo.delivered, c.copies)
			}
		})
	}
}

// echo delivers a copy of a request that creates what a round is to replace when
// the first replacement of it has been answered, or, if there is none, with the
// next round. lost: the request itself does not arrive.
type echo struct {
	http.RoundTripper
	copies int
	lost   bool

	mu        sync.Mutex
	late      *http.Request // of one key; the rounds come one after the other
	delivered int
}

func (e *echo) CloseIdleConnections() {
	e.RoundTripper.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}

func (e *echo) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/swap-") {
		return e.RoundTripper.RoundTrip(r)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	seeds := r.Header.Get("If-Match") == ""
	if seeds && e.late != nil && e.late.URL.Path != r.URL.Path {
		e.deliver()
	}
	if !seeds || e.copies == 0 {
		response, err := e.RoundTripper.RoundTrip(r)
		if err == nil && response.StatusCode == http.StatusOK && e.late != nil {
			e.deliver()
		}
		return response, err
	}
	e.copies--
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	again := func() *http.Request {
		c := r.Clone(context.WithoutCancel(r.Context()))
		c.Body = io.NopCloser(bytes.NewReader(body))
		return c
	}
	e.late = again()
	if e.lost {
		return nil, io.ErrUnexpectedEOF
	}
	return e.RoundTripper.RoundTrip(again())
}

func (e *echo) deliver() {
	late := e.late
	e.late = nil
	e.delivered++
	if response, err := e.RoundTripper.RoundTrip(late); err == nil {
		_ = response.Body.Close()
	}
}
