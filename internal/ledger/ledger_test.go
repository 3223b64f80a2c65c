package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/schema"
)

func TestHeadFollowsAppends(t *testing.T) {
	l, _ := open(t)
	s := stream(3)
	if _, err := l.Head(t.Context(), s); schema.KindOf(err) != schema.NotFound {
		t.Fatalf("a head before the genesis: %v", err)
	}
	made := grow(t, l, s, 4)
	found, err := l.Head(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if found.Digest != made.Digest || found.Next != 40 || found.Commit.Seq != 4 {
		t.Fatalf("found %d at %d, made %d at %d", found.Commit.Seq, found.Next, made.Commit.Seq, made.Next)
	}
	// An end does not move next: the head's next comes from the segment before.
	end := appended(t, l, found, commit(s, found, schema.KindEnd))
	found, err = l.Head(t.Context(), s)
	if err != nil || found.Digest != end.Digest || found.Next != 40 || end.Next != 40 || !found.Ended || !end.Ended {
		t.Fatalf("behind an end: next %d, ended %t, %v", found.Next, found.Ended, err)
	}
}

func TestAppendRefusesWhatDoesNotFollow(t *testing.T) {
	l, store := open(t)
	s := stream(0)
	head := grow(t, l, s, 2)
	for name, c := range map[string]*schema.Commit{
		"a seq left out":  segment(s, head, 1, func(c *schema.Commit) { c.Seq++ }),
		"the same seq":    segment(s, head, 1, func(c *schema.Commit) { c.Seq-- }),
		"other previous":  segment(s, head, 1, func(c *schema.Commit) { c.Previous = &schema.Digest{1} }),
		"a hole":          segment(s, head, 1, func(c *schema.Commit) { c.Base++; c.Next++ }),
		"other partition": segment(stream(1), head, 1),
		"rows missing":    segment(s, head, 2, func(c *schema.Commit) { c.Records.Committed-- }),
		"second genesis":  commit(s, ledger.Head{}, schema.KindGenesis),
		"no attempt":      segment(s, head, 1, func(c *schema.Commit) { c.Attempt = "" }),
	} {
		if _, err := l.Append(t.Context(), head, c); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.Append(t.Context(), ledger.Head{}, segment(s, ledger.Head{}, 1, func(c *schema.Commit) {
		c.Previous = nil
	})); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("a chain that begins with a segment: %v", err)
	}
	if _, err := store.Stat(t.Context(), schema.CommitKey(s, 3)); schema.KindOf(err) != schema.NotFound {
		t.Errorf("something was written: %v", err)
	}
}

func TestAppendLosesToAnother(t *testing.T) {
	l, _ := open(t)
	s := stream(0)
	head := grow(t, l, s, 1)
	winner := segment(s, head, 7)
	won := appended(t, l, head, winner)
	_, err := l.Append(t.Context(), head, segment(s, head, 5))
	var lost *ledger.LostError
	if !errors.As(err, &lost) || schema.KindOf(err) != schema.Conflict {
		t.Fatalf("a taken seq: %v", err)
	}
	if lost.Winner.Digest != won.Digest || lost.Winner.Next != 17 || lost.Winner.Commit.Attempt != winner.Attempt {
		t.Fatalf("winner %+v, want %+v", lost.Winner, won)
	}
	// The winner's own call, sent again, finds itself.
	if again := appended(t, l, head, winner); again.Digest != won.Digest {
		t.Fatal("the same commit appended again is another head")
	}
	if all, err := chain(t, l, s, 0); err != nil || len(all) != 3 {
		t.Fatalf("%d commits, %v", len(all), err)
	}
}

func TestAppendRefusesAnAttemptUsedTwice(t *testing.T) {
	l, _ := open(t)
	s := stream(0)
	head := grow(t, l, s, 0)
	first := segment(s, head, 3)
	appended(t, l, head, first)
	second := segment(s, head, 4, func(c *schema.Commit) { c.Attempt = first.Attempt })
	if _, err := l.Append(t.Context(), head, second); schema.KindOf(err) != schema.Corrupt {
		t.Fatalf("other bytes under the same attempt: %v", err)
	}
}

func TestCommitsYieldsTheCheckedChain(t *testing.T) {
	l, _ := open(t)
	s := stream(0)
	head := grow(t, l, s, 100)
	all, err := chain(t, l, s, 0)
	if err != nil || len(all) != 101 || all[100].Digest != head.Digest {
		t.Fatalf("%d commits, %v", len(all), err)
	}
	for i, e := range all {
		if e.Commit.Seq != int64(i) || schema.CommitDigest(e.Raw) != e.Digest {
			t.Fatalf("entry %d is commit %d", i, e.Commit.Seq)
		}
	}
	for _, from := range []int64{1, 57, 100, 101, 5000} {
		part, err := chain(t, l, s, from)
		if err != nil || len(part) != max(0, 101-int(from)) {
			t.Fatalf("from %d: %d commits, %v", from, len(part), err)
		}
		if len(part) > 0 && !bytes.Equal(part[0].Raw, all[from].Raw) {
			t.Fatalf("from %d begins elsewhere", from)
		}
	}
	if _, err := chain(t, l, stream(9), 0); schema.KindOf(err) != schema.NotFound {
		t.Fatalf("a stream without a chain: %v", err)
	}
	if _, err := chain(t, l, s, -1); schema.KindOf(err) != schema.Invalid {
		t.Fatalf("a negative seq: %v", err)
	}
}

// TestCommitsFindsWhatWasDone damages a chain behind the ledger's back.
func TestCommitsFindsWhatWasDone(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, store *objstore.Store, s schema.Stream, good []ledger.Entry){
		"deleted": func(t *testing.T, store *objstore.Store, s schema.Stream, _ []ledger.Entry) {
			if err := store.Delete(t.Context(), schema.CommitKey(s, 5)); err != nil {
				t.Fatal(err)
			}
		},
		"genesis deleted": func(t *testing.T, store *objstore.Store, s schema.Stream, _ []ledger.Entry) {
			if err := store.Delete(t.Context(), schema.CommitKey(s, 0)); err != nil {
				t.Fatal(err)
			}
		},
		"a byte flipped": func(t *testing.T, store *objstore.Store, s schema.Stream, good []ledger.Entry) {
			put(t, store, schema.CommitKey(s, 5), bytes.Replace(good[5].Raw, []byte(`"writer":"test"`), []byte(`"writer":"tesu"`), 1))
		},
		"another in its place": func(t *testing.T, store *objstore.Store, s schema.Stream, good []ledger.Entry) {
			put(t, store, schema.CommitKey(s, 5), good[6].Raw)
		},
		"truncated": func(t *testing.T, store *objstore.Store, s schema.Stream, good []ledger.Entry) {
			put(t, store, schema.CommitKey(s, 5), good[5].Raw[:100])
		},
		"emptied": func(t *testing.T, store *objstore.Store, s schema.Stream, _ []ledger.Entry) {
			put(t, store, schema.CommitKey(s, 5), nil)
		},
		"too large": func(t *testing.T, store *objstore.Store, s schema.Stream, _ []ledger.Entry) {
			put(t, store, schema.CommitKey(s, 5), make([]byte, schema.MaxCommitBytes+1))
		},
		"the head changed": func(t *testing.T, store *objstore.Store, s schema.Stream, good []ledger.Entry) {
			put(t, store, schema.CommitKey(s, 9), good[8].Raw)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, store := open(t)
			s := stream(0)
			grow(t, l, s, 9)
			good, err := chain(t, l, s, 0)
			if err != nil {
				t.Fatal(err)
			}
			damage(t, store, s, good)
			seen, err := chain(t, l, s, 0)
			if schema.KindOf(err) != schema.Corrupt {
				t.Fatalf("%d commits pass, %v", len(seen), err)
			}
			if len(seen) > 6 {
				t.Fatalf("%d commits pass before the damage shows", len(seen))
			}
		})
	}
}

// TestCommitsEndsAtItsHead: the head is exchanged, with one that fits as well,
// while the chain is read.
func TestCommitsEndsAtItsHead(t *testing.T) {
	options := objstoretest.EmbeddedOptions(t)
	store := objstoretest.Open(t, options)
	s := stream(0)
	sound := ledger.New(store, nil)
	head := grow(t, sound, s, 8)
	other, err := segment(s, head, 2).Encode()
	if err != nil {
		t.Fatal(err)
	}
	appended(t, sound, head, segment(s, head, 2))
	var gets atomic.Int32
	l := ledger.New(objstoretest.Open(t, options, func(o *objstore.Options) {
		o.Transport = &objstoretest.Faults{Base: options.Transport, Choose: func(r *http.Request) objstoretest.Fault {
			if !r.URL.Query().Has("list-type") && gets.Add(1) == 2 { // the first is Head's
				put(t, store, schema.CommitKey(s, 9), other)
			}
			return objstoretest.None
		}}
	}), nil)
	if all, err := chain(t, l, s, 0); schema.KindOf(err) != schema.Corrupt || len(all) != 9 {
		t.Fatalf("%d commits, %v", len(all), err)
	}
}

func put(t *testing.T, store *objstore.Store, key string, body []byte) {
	t.Helper()
	if _, err := store.Put(t.Context(), key, body); err != nil {
		t.Fatal(err)
	}
}

func TestStreamsFindsEveryChain(t *testing.T) {
	l, store := open(t)
	want := map[schema.Stream]bool{}
	for p := range int32(3) {
		s := stream(p)
		grow(t, l, s, 1)
		want[s] = true
	}
	other := schema.Stream{Cluster: "other", Topic: "fx.alerts", TopicID: schema.TopicID{0: 9, 15: 255}}
	grow(t, l, other, 0)
	want[other] = true
	for s, err := range l.Streams(t.Context()) {
		if err != nil || !want[s] {
			t.Fatalf("%v, %v", s, err)
		}
		delete(want, s)
	}
	if len(want) != 0 {
		t.Fatalf("not found: %v", want)
	}
	for id, err := range l.Topics(t.Context(), "other") {
		if err != nil || id != other.TopicID {
			t.Fatalf("topic %s, %v", id, err)
		}
		want[other] = true
	}
	one := stream(0)
	for p := range int32(3) {
		want[stream(p)] = true
	}
	for _, of := range []schema.Stream{one, other} {
		for s, err := range l.StreamsOf(t.Context(), of.Cluster, of.TopicID) {
			if err != nil || !want[s] {
				t.Fatalf("%v, %v", s, err)
			}
			delete(want, s)
		}
	}
	if len(want) != 0 {
		t.Fatalf("not found by topic: %v", want)
	}
	put(t, store, "ledger/other/not-an-id/00000/x", nil)
	var last, lastID error
	for _, err := range l.Streams(t.Context()) {
		last = err
	}
	for _, err := range l.Topics(t.Context(), "other") {
		lastID = err
	}
	if schema.KindOf(last) != schema.Corrupt || schema.KindOf(lastID) != schema.Corrupt {
		t.Fatalf("a foreign folder: %v, %v", last, lastID)
	}
}

func TestBadStreamsAreRefused(t *testing.T) {
	l, _ := open(t)
	for _, s := range []schema.Stream{
		{Cluster: "c", Topic: "t"},
		{Cluster: "", Topic: "t", TopicID: schema.TopicID{1}},
		{Cluster: "a/b", Topic: "t", TopicID: schema.TopicID{1}},
		{Cluster: "c", Topic: "t", TopicID: schema.TopicID{1}, Partition: -1},
	} {
		if _, err := l.Head(t.Context(), s); schema.KindOf(err) != schema.Invalid {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// TestCost counts requests against the budget: Head two LISTs and a GET,
// Append one PUT.
func TestCost(t *testing.T) {
	counter := &objstoretest.Faults{}
	l, _ := open(t, func(o *objstore.Options) { o.Transport = counter })
	s := stream(0)
	head := grow(t, l, s, 3)
	counter.Reset()
	if _, err := l.Head(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	t.Logf("Head: %d LIST, %d GET", counter.Count("LIST"), counter.Count("GET"))
	if counter.Count("LIST") != 2 || counter.Count("GET") != 1 {
		t.Error("over budget")
	}
	counter.Reset()
	appended(t, l, head, segment(s, head, 1))
	t.Logf("Append: %d PUT, %d GET, %d LIST", counter.Count("PUT"), counter.Count("GET"), counter.Count("LIST"))
	if counter.Count("PUT") != 1 || counter.Count("GET") != 0 || counter.Count("LIST") != 0 {
		t.Error("over budget")
	}
}

func TestAppendHonoursItsContext(t *testing.T) {
	l, _ := open(t)
	s := stream(0)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ended, ledger.Head{}, commit(s, ledger.Head{}, schema.KindGenesis)); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if _, err := l.Head(t.Context(), s); schema.KindOf(err) != schema.NotFound {
		t.Fatalf("something was sent: %v", err)
	}
}
