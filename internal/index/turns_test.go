package index_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// reader is a read that waits for its turn, and keeps it until it is let go.
type reader struct {
	name string
	done func()
}

// TestTurns has reads of all kinds wait, and lets one after the other go on.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := index.NewTurns(3, 1, 10)
		order := make(chan reader, 100)
		arrive := func(name string, kind index.Turn) {
			go func() {
				if err := turns.Take(t.Context(), kind); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				order <- reader{name, func() { turns.Give(kind) }}
			}()
			synctest.Wait()
		}
		var running []reader
		now := func() string {
			synctest.Wait()
			var names []string
			for len(order) > 0 {
				r := <-order
				running, names = append(running, r), append(names, r.name)
			}
			return strings.Join(names, " ")
		}
		end := func() { running[0].done(); running = running[1:] }
		for n := range 3 {
			arrive(fmt.Sprintf("export-%d", n), index.Bulk)
		}
		arrive("one", index.Short)
		arrive("two", index.Short)
		if got := now(); got != "export-0 one two" {
			t.Errorf("at once run %q: exports take one turn, and leave the others free", got)
		}
		arrive("three", index.Short)
		arrive("catalog", index.Shared)
		end() // the first export
		if got := now(); got != "catalog" {
			t.Errorf("what all wait for goes first, not %q", got)
		}
		end() // one
		if got := now(); got != "export-1" {
			t.Errorf("the export was there before, not %q", got)
		}
		end() // two
		if got := now(); got != "three" {
			t.Errorf("of two exports one waits for the other, not %q", got)
		}
		for len(running) > 0 {
			end()
			now()
		}
		for range 3 {
			if err := turns.Take(t.Context(), index.Short); err != nil {
				t.Error("in the end all turns are free again:", err)
			}
		}
	})
}

func TestTurnsAreWaitedForAsLongAsTheAskerMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := index.NewTurns(1, 1, 1)
		if err := turns.Take(t.Context(), index.Short); err != nil {
			t.Fatal(err)
		}
		waited := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		go func() { waited <- turns.Take(ctx, index.Short) }()
		synctest.Wait()
		if err := turns.Take(t.Context(), index.Short); schema.KindOf(err) != schema.Unavailable {
			t.Errorf("one waits and no more may: %v, want unavailable", err)
		}
		if err := <-waited; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		go func() { waited <- turns.Take(t.Context(), index.Bulk) }()
		synctest.Wait()
		gone := errors.New("no way to ClickHouse")
		turns.Fail(gone)
		if err := <-waited; !errors.Is(err, gone) {
			t.Errorf("who waits for what is away is told %v", err)
		}
		turns.Give(index.Short)
		if err := turns.Take(t.Context(), index.Short); err != nil {
			t.Error("the turn is free again:", err)
		}
	})
}

// slow answers each statement after some time.
func slow(t *testing.T, address string, by time.Duration) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	transport := &http.Transport{}
	proxy.Transport = transport
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(by)
		proxy.ServeHTTP(w, r)
	})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-ended; transport.CloseIdleConnections() })
	return listener.Addr().String()
}

// Fifty look-ups at once are fifty waits behind one another, not fifty failures:
// of a ClickHouse that takes a second for each, the last one waits for more than
// the time in which a connection must come about.
func TestManyReadsOfASlowIndexAllGetAnswers(t *testing.T) {
	t.Parallel()
	x := open(t, nil)
	insert(t, x, row("a", 0, 1))
	options := x.options
	options.Addr = slow(t, options.Addr, time.Second)
	patient, err := index.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer patient.Close() //nolint:errcheck // only reads
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var group sync.WaitGroup
	for n := range 55 {
		of := ctx
		if n < 5 {
			of = index.WithTurn(ctx, index.Bulk)
		}
		group.Go(func() {
			hits, _, err := patient.Trace(of, []string{fmt.Sprintf("%032x", 1)}, all, 10)
			if err != nil || len(hits) != 1 {
				t.Errorf("read %d: %d hits, %v", n, len(hits), err)
			}
		})
	}
	group.Wait()
}

// Who waits for an index that cannot be reached is told so with the first who
// tried, not one behind the other.
func TestNobodyWaitsForAnIndexThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patience = 5 * time.Second
		x, err := index.Open(index.Options{Addr: "clickhouse:8123", Database: "annals", DialContext: func(context.Context, string) (net.Conn, error) {
			time.Sleep(patience)
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no route to host")}
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close() //nolint:errcheck // never connected
		began := time.Now()
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				_, _, err := x.Trace(t.Context(), []string{"t"}, all, 10)
				if schema.KindOf(err) != schema.Unavailable {
					t.Errorf("%v, want unavailable", err)
				}
			})
		}
		group.Wait()
		if took := time.Since(began); took > patience {
			t.Errorf("the last of fifty was told after %v", took)
		}
	})
}
