package objstoretest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// Accept holds a store against what Annals needs of one. open opens it under a
// prefix that is empty; pageKeys is the option of that name. Every store that
// Annals is to run on must pass.
func Accept(t *testing.T, open func(t *testing.T, pageKeys int) *objstore.Store) {
	t.Run("write and read", func(t *testing.T) { acceptReads(t, open(t, 0)) })
	t.Run("refuse other bytes", func(t *testing.T) { acceptChecksum(t, open(t, 0)) })
	t.Run("create once", func(t *testing.T) { acceptCreate(t, open(t, 0)) })
	t.Run("compare and swap", func(t *testing.T) { acceptSwap(t, open(t, 0)) })
	t.Run("list", func(t *testing.T) { acceptList(t, open(t, 7)) })
	t.Run("folders", func(t *testing.T) { acceptFolders(t, open(t, 7)) })
	t.Run("delete", func(t *testing.T) { acceptDelete(t, open(t, 0)) })
	t.Run("race to create", func(t *testing.T) { acceptRace(t, open(t, 0), false) })
	t.Run("race to swap", func(t *testing.T) { acceptRace(t, open(t, 0), true) })
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func acceptReads(t *testing.T, s *objstore.Store) {
	ctx := t.Context()
	if err := s.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	for key, want := range map[string][]byte{
		"data/big": body, "data/empty": {}, "data/fx%2Frates/a-b_c.parquet": []byte("x"), "data/ünï": []byte("y"),
	} {
		put := must[objstore.Object](t)(s.Put(ctx, key, want))
		if put.Key != key || put.Size != int64(len(want)) {
			t.Errorf("put %s: %+v", key, put)
		}
		got, object, err := s.Get(ctx, key, 1<<20)
		if err != nil || !bytes.Equal(got, want) || object.Size != int64(len(want)) || object.ETag != put.ETag {
			t.Errorf("get %s: %d bytes, %+v, %v", key, len(got), object, err)
		}
		stat := must[objstore.Object](t)(s.Stat(ctx, key))
		if stat.Size != int64(len(want)) || stat.ETag != put.ETag || stat.Modified.IsZero() {
			t.Errorf("stat %s: %+v", key, stat)
		}
	}
	if _, _, err := s.Get(ctx, "data/big", int64(len(body)-1)); schema.KindOf(err) != schema.Exhausted {
		t.Errorf("get beyond the limit: %v", err)
	}
	for _, r := range [][2]int64{{0, 1}, {15, 3}, {int64(len(body)) - 1, 1}, {7, 0}, {0, int64(len(body))}} {
		got, err := s.GetRange(ctx, "data/big", r[0], r[1])
		if err != nil || !bytes.Equal(got, body[r[0]:r[0]+r[1]]) {
			t.Errorf("range %v: %d bytes, %v", r, len(got), err)
		}
	}
	for _, r := range [][2]int64{{int64(len(body)) - 1, 2}, {int64(len(body)), 1}, {1 << 40, 9}} {
		if _, err := s.GetRange(ctx, "data/big", r[0], r[1]); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("range %v leaves the object: %v", r, err)
		}
	}
	acceptReaderAt(t, s, "data/big", body)
	for _, absent := range []string{"data/none", "data/big/below", "data"} {
		_, _, getErr := s.Get(ctx, absent, 10)
		_, statErr := s.Stat(ctx, absent)
		_, rangeErr := s.GetRange(ctx, absent, 0, 1)
		for _, err := range []error{getErr, statErr, rangeErr} {
			if schema.KindOf(err) != schema.NotFound {
				t.Errorf("%s: %v", absent, err)
			}
		}
	}
	for _, bad := range []string{"", "/a", "a//b", "a/../b", "a/", ".", "a\x00", "\xff", strings.Repeat("k", 1025)} {
		if _, err := s.Put(ctx, bad, nil); schema.KindOf(err) != schema.Invalid {
			t.Errorf("key %.20q accepted: %v", bad, err)
		}
	}
}

func acceptReaderAt(t *testing.T, s *objstore.Store, key string, body []byte) {
	t.Helper()
	size := int64(len(body))
	r := s.ReaderAt(t.Context(), key, size)
	whole, err := io.ReadAll(io.NewSectionReader(r, 0, size))
	if err != nil || !bytes.Equal(whole, body) {
		t.Errorf("reader: %d bytes, %v", len(whole), err)
	}
	tail := make([]byte, 10)
	if n, err := r.ReadAt(tail, size-4); n != 4 || err != io.EOF || !bytes.Equal(tail[:4], body[size-4:]) {
		t.Errorf("reader at the end: %d, %v", n, err)
	}
	if n, err := r.ReadAt(tail, size); n != 0 || err != io.EOF {
		t.Errorf("reader behind the end: %d, %v", n, err)
	}
}

func acceptChecksum(t *testing.T, s *objstore.Store) {
	ctx := t.Context()
	wrong := sha256.Sum256([]byte("other bytes"))
	_, err := s.PutFile(ctx, "data/wrong", strings.NewReader("these bytes"), 11, wrong)
	if schema.KindOf(err) != schema.Corrupt {
		t.Errorf("bytes that do not match their hash: %v", err)
	}
	if _, err := s.Stat(ctx, "data/wrong"); schema.KindOf(err) != schema.NotFound {
		t.Errorf("what was refused is there: %v", err)
	}
	right := sha256.Sum256([]byte("these bytes"))
	must[objstore.Object](t)(s.PutFile(ctx, "data/right", strings.NewReader("these bytes"), 11, right))
	must[objstore.Object](t)(s.PutFile(ctx, "data/right", strings.NewReader("these bytes"), 11, right))
}

func acceptCreate(t *testing.T, s *objstore.Store) {
	ctx := t.Context()
	first := must[objstore.Object](t)(s.PutIfAbsent(ctx, "ledger/1", []byte("first")))
	_, err := s.PutIfAbsent(ctx, "ledger/1", []byte("second"))
	if !errors.Is(err, objstore.ErrExists) || schema.KindOf(err) != schema.Conflict {
		t.Errorf("created twice: %v", err)
	}
	got, object, err := s.Get(ctx, "ledger/1", 100)
	if err != nil || string(got) != "first" || object.ETag != first.ETag {
		t.Errorf("%q, %+v, %v", got, object, err)
	}
}

func acceptSwap(t *testing.T, s *objstore.Store) {
	ctx := t.Context()
	first := must[objstore.Object](t)(s.PutIfAbsent(ctx, "jobs/1", []byte("a")))
	second := must[objstore.Object](t)(s.PutIfMatch(ctx, "jobs/1", first.ETag, []byte("b")))
	for etag, key := range map[string]string{first.ETag: "jobs/1", second.ETag: "jobs/none"} {
		_, err := s.PutIfMatch(ctx, key, etag, []byte("c"))
		if !errors.Is(err, objstore.ErrChanged) || schema.KindOf(err) != schema.Conflict {
			t.Errorf("swapped %s against a stale ETag: %v", key, err)
		}
	}
	if got, _, err := s.Get(ctx, "jobs/1", 100); err != nil || string(got) != "b" {
		t.Errorf("%q, %v", got, err)
	}
}

func acceptList(t *testing.T, s *objstore.Store) {
	ctx := t.Context()
	var want []string
	for i := range 25 {
		key := fmt.Sprintf("ledger/c/%02d.json", i)
		must[objstore.Object](t)(s.Put(ctx, key, []byte(key)))
		want = append(want, key)
	}
	must[objstore.Object](t)(s.Put(ctx, "ledger/d/x", nil))
	must[objstore.Object](t)(s.Put(ctx, "ledger/c-d/x", nil))
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{
		{"ledger/c/", "", want},
		{"ledger/c/", want[9], want[10:]},
		{"ledger/c/", want[24], nil},
		{"ledger/c/", "ledger/c/095", want[10:]},
		{"ledger/c/1", "", want[10:20]},
		{"ledger/none/", "", nil},
		{"", want[24], []string{"ledger/d/x"}},
		{"", "", append(append([]string{"ledger/c-d/x"}, want...), "ledger/d/x")},
	} {
		var got []string
		for o, err := range s.List(ctx, c.prefix, c.after) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, o.Key)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("list %q after %q:\n got %v\nwant %v", c.prefix, c.after, got, c.want)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range s.List(ended, "ledger/", "") {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a listing whose context has ended: %v", err)
		}
	}
}

func acceptFolders(t *testing.T, s *objstore.Store) {
	ctx := t.Context()
	var want []string
	for i := range 16 {
		folder := fmt.Sprintf("ledger/c/%05d/", i)
		for j := range 3 {
			must[objstore.Object](t)(s.Put(ctx, fmt.Sprintf("%s%d/x.json", folder, j), nil))
		}
		want = append(want, folder)
	}
	must[objstore.Object](t)(s.Put(ctx, "ledger/c/00003x", nil))
	for after, want := range map[string][]string{"": want, want[0]: want[1:], want[6]: want[7:], want[15]: nil} {
		var got []string
		for folder, err := range s.Folders(ctx, "ledger/c/", after) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, folder)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("folders after %q:\n got %v\nwant %v", after, got, want)
		}
	}
}

func acceptDelete(t *testing.T, s *objstore.Store) {
	ctx := t.Context()
	must[objstore.Object](t)(s.Put(ctx, "data/a/b", []byte("x")))
	for range 2 { // what is gone may be deleted again
		if err := s.Delete(ctx, "data/a/b"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Stat(ctx, "data/a/b"); schema.KindOf(err) != schema.NotFound {
		t.Errorf("deleted and there: %v", err)
	}
}

// acceptRace lets many writers meet on one key: exactly one may win each round.
func acceptRace(t *testing.T, s *objstore.Store, swap bool) {
	ctx := t.Context()
	const rounds, writers = 20, 16
	for round := range rounds {
		key := fmt.Sprintf("ledger/race/%02d", round)
		var etag string
		if swap {
			etag = must[objstore.Object](t)(s.Put(ctx, key, []byte("seed"))).ETag
		}
		r := s.Race(ctx, key, etag, writers)
		if r.Err != nil || r.Unfair() != "" || len(r.Won) != 1 || r.Uncertain > 0 {
			t.Fatalf("round %d: %+v %s", round, r, r.Unfair())
		}
	}
}
