package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// open connects clickhouse-go, the client that Annals uses, to a database of
// the test's own.
func open(t testing.TB, change ...func(*clickhouse.Options)) driver.Conn {
	t.Helper()
	addr, user, password := embeddedtest.ClickHouse(t)
	options := &clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{addr},
		Auth: clickhouse.Auth{Database: embeddedtest.Database(t), Username: user, Password: password},
	}
	for _, f := range change {
		f(options)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const eventsTable = `CREATE TABLE events (
	topic LowCardinality(String), partition Int32, offset Int64, version UInt64,
	trace_id String, parents Array(String), at DateTime64(6, 'UTC'), late Nullable(Int64), raw String
) ENGINE = ReplacingMergeTree(version) ORDER BY (topic, partition, offset)`

type event struct {
	topic     string
	partition int32
	offset    int64
	version   uint64
	traceID   string
	parents   []string
	at        time.Time
	late      *int64
	raw       string
}

func makeEvent(i int) event {
	e := event{
		topic: fmt.Sprintf("topic-%d", i%7), partition: int32(i % 3), offset: int64(i), version: 1,
		traceID: fmt.Sprintf("%032x", i/5), at: time.UnixMicro(1_700_000_000_000_000 + int64(i)*1001).UTC(),
		raw: string([]byte{0, byte(i), ';', '\n', '\'', 0xff, '\\', byte(i >> 8)}),
	}
	for k := range i % 4 {
		e.parents = append(e.parents, fmt.Sprintf("%016x", i-k))
	}
	if i%2 == 0 {
		late := int64(-i)
		e.late = &late
	}
	return e
}

func insertEvents(ctx context.Context, conn driver.Conn, from, n int, change func(*event)) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO events")
	if err != nil {
		return err
	}
	defer batch.Close() //nolint:errcheck // after Send it does nothing
	for i := from; i < from+n; i++ {
		e := makeEvent(i)
		if change != nil {
			change(&e)
		}
		if err := batch.Append(e.topic, e.partition, e.offset, e.version, e.traceID, e.parents, e.at, e.late, e.raw); err != nil {
			return err
		}
	}
	return batch.Send()
}

// TestInsertAndReadBack writes 200,000 rows of every kind of column we use
// through clickhouse-go and reads them back, byte for byte.
func TestInsertAndReadBack(t *testing.T) {
	ctx := t.Context()
	conn := open(t)
	must(t, conn.Ping(ctx))
	must(t, conn.Exec(ctx, eventsTable))
	const rows, step = 200_000, 50_000
	began := time.Now()
	for from := 0; from < rows; from += step {
		must(t, insertEvents(ctx, conn, from, step, nil))
	}
	t.Logf("inserted %.0f rows/s", rows/time.Since(began).Seconds())

	// The same identities again with a higher version: replaced, not doubled.
	must(t, insertEvents(ctx, conn, 0, 1000, func(e *event) { e.version = 2; e.traceID = "again" }))

	began = time.Now()
	got, err := conn.Query(ctx, "SELECT * FROM events FINAL ORDER BY offset")
	must(t, err)
	defer got.Close() //nolint:errcheck // read to its end
	n := 0
	for ; got.Next(); n++ {
		var e event
		must(t, got.Scan(&e.topic, &e.partition, &e.offset, &e.version, &e.traceID, &e.parents, &e.at, &e.late, &e.raw))
		want := makeEvent(n)
		if n < 1000 {
			want.version, want.traceID = 2, "again"
		}
		if want.late != nil && e.late != nil && *e.late == *want.late {
			e.late = want.late
		}
		if len(e.parents) == 0 {
			e.parents = nil
		}
		if a, b := fmt.Sprintf("%+v", e), fmt.Sprintf("%+v", want); a != b {
			t.Fatalf("row %d:\n got %s\nwant %s", n, a, b)
		}
	}
	must(t, got.Err())
	if n != rows {
		t.Fatalf("read %d rows, want %d", n, rows)
	}
	t.Logf("read back %.0f rows/s", rows/time.Since(began).Seconds())
}

// TestCompressedClients holds that a client with any of clickhouse-go's
// compressions writes and reads the same rows.
func TestCompressedClients(t *testing.T) {
	for name, method := range map[string]clickhouse.CompressionMethod{
		"lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD,
		"gzip": clickhouse.CompressionGZIP, "deflate": clickhouse.CompressionDeflate,
	} {
		t.Run(name, func(t *testing.T) {
			conn := open(t, func(o *clickhouse.Options) { o.Compression = &clickhouse.Compression{Method: method, Level: 3} })
			must(t, conn.Exec(t.Context(), eventsTable))
			must(t, insertEvents(t.Context(), conn, 0, 30_000, nil))
			var n, sum uint64
			must(t, conn.QueryRow(t.Context(), "SELECT count(), sum(length(raw)) FROM events").Scan(&n, &sum))
			if n != 30_000 || sum != 8*30_000 {
				t.Fatalf("got %d rows, %d bytes", n, sum)
			}
			var e *clickhouse.Exception
			err := conn.QueryRow(t.Context(), "SELECT nonsense").Scan(&n)
			if !errors.As(err, &e) || e.Code != 47 {
				t.Fatalf("got %v, want exception 47", err)
			}
		})
	}
}

// TestHostileParameters binds values that would be statements if they were
// spliced into the text.
func TestHostileParameters(t *testing.T) {
	ctx := t.Context()
	conn := open(t)
	must(t, conn.Exec(ctx, "CREATE TABLE kept (s String) ENGINE = MergeTree ORDER BY s"))
	values := []string{
		"'; DROP TABLE kept; --", "\\'; DROP TABLE kept; --", "a;b\nc\td\r\\n", "\x00\x01\xff\xfe", "{t:String}", "`\"'", "", "ü€😀", "%27%00",
		strings.Repeat("x';", 10_000),
	}
	for _, v := range values {
		must(t, conn.Exec(ctx, "INSERT INTO kept SELECT {v:String}", clickhouse.Named("v", v)))
		var got string
		must(t, conn.QueryRow(ctx, "SELECT s FROM kept WHERE s = {v:String}", clickhouse.Named("v", v)).Scan(&got))
		if got != v {
			t.Errorf("bound %q, got %q", v, got)
		}
	}
	var found uint64
	must(t, conn.QueryRow(ctx, "SELECT count() FROM kept WHERE s IN {list:Array(String)}", clickhouse.Named("list", values)).Scan(&found))
	if found != uint64(len(values)) {
		t.Errorf("found %d of %d values by an array parameter", found, len(values))
	}
}

// TestErrors holds that every kind of error arrives as ClickHouse's exception
// with its code, before or after the first rows.
func TestErrors(t *testing.T) {
	ctx := t.Context()
	conn := open(t)
	for sql, code := range map[string]int32{
		"SELECT FROM WHERE":           62,
		"SELECT 1; SELECT 2":          62,
		"SELECT * FROM no_such_table": 60,
		"SELECT no_such_column":       47,
		"SELECT throwIf(number = 250000, 'boom') FROM numbers(300000)":                                                               395,
		"SELECT sleepEachRow(0.1) FROM numbers(1000) SETTINGS max_execution_time = 1, function_sleep_max_microseconds_per_block = 0": 159,
		"SELECT groupArray(repeat('x', 1000) || toString(number)) FROM numbers(5000000)":                                             241,
	} {
		rows, err := conn.Query(ctx, sql)
		if err == nil {
			for rows.Next() { //nolint:revive // read to the error
			}
			err = rows.Err()
			rows.Close() //nolint:errcheck,gosec // its error is the one we have
		}
		var e *clickhouse.Exception
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: got %v, want code %d", sql, err, code)
		}
	}
	must(t, conn.Ping(ctx))
}

// TestReadsWhileInserting keeps readers and writers going at once; nothing may
// fail, and every row must be there at the end.
func TestReadsWhileInserting(t *testing.T) {
	ctx := t.Context()
	conn := open(t, func(o *clickhouse.Options) { o.MaxOpenConns = 20 })
	must(t, conn.Exec(ctx, eventsTable))
	const writers, batches, size = 4, 5, 2000
	var writing, reading sync.WaitGroup
	stop := make(chan struct{})
	for w := range writers {
		writing.Go(func() {
			for b := range batches {
				if err := insertEvents(ctx, conn, (w*batches+b)*size, size, nil); err != nil {
					t.Errorf("insert: %v", err)
				}
			}
		})
	}
	for range 10 {
		reading.Go(func() {
			for {
				var n uint64
				if err := conn.QueryRow(ctx, "SELECT count() FROM events WHERE trace_id = {t:String}", clickhouse.Named("t", fmt.Sprintf("%032x", rand.IntN(8000)))).Scan(&n); err != nil {
					t.Errorf("read: %v", err)
					return
				}
				if n > 5 {
					t.Errorf("trace has %d rows, at most 5 were written", n)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	writing.Wait()
	close(stop)
	reading.Wait()
	var n uint64
	must(t, conn.QueryRow(ctx, "SELECT count() FROM events").Scan(&n))
	if n != writers*batches*size {
		t.Fatalf("%d rows, want %d", n, writers*batches*size)
	}
}

// TestAbandonedReads fills every read session with statements that would take
// minutes and walks away: the sessions must be free again at once.
func TestAbandonedReads(t *testing.T) {
	conn := open(t, func(o *clickhouse.Options) { o.MaxOpenConns = 20 })
	must(t, conn.Ping(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var n uint64
			if err := conn.QueryRow(ctx, "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)").Scan(&n); err == nil {
				t.Error("a read of a trillion rows ended in half a second")
			}
		})
	}
	wg.Wait()
	began := time.Now()
	after, cancelAfter := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancelAfter()
	must(t, conn.Ping(after))
	for {
		var n uint64
		must(t, conn.QueryRow(after, "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%processes%'").Scan(&n))
		if n == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("all gone %v after the clients left", time.Since(began).Round(time.Millisecond))
}

// TestMixedLoad throws everything at the engine at once for a moment: look-ups,
// errors, abandoned sorts, inserts, sessions of differing settings. Whatever is
// not abandoned must succeed, and the engine must not have been restarted.
func TestMixedLoad(t *testing.T) {
	conn := open(t, func(o *clickhouse.Options) { o.MaxOpenConns = 20 })
	must(t, conn.Exec(t.Context(), eventsTable))
	must(t, insertEvents(t.Context(), conn, 0, 20_000, nil))
	var before, after string
	must(t, conn.QueryRow(t.Context(), "SELECT toString(now() - uptime())").Scan(&before))
	actions := []func(context.Context) error{
		func(ctx context.Context) error {
			var n uint64
			return conn.QueryRow(ctx, "SELECT count() FROM events WHERE trace_id = {t:String}", clickhouse.Named("t", fmt.Sprintf("%032x", rand.IntN(4000)))).Scan(&n)
		},
		func(ctx context.Context) error {
			var e *clickhouse.Exception
			if err := conn.Exec(ctx, "SELECT nonsense"); !errors.As(err, &e) || e.Code != 47 {
				return fmt.Errorf("want exception 47, got %w", err)
			}
			return nil
		},
		func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(20))*time.Millisecond)
			defer cancel()
			rows, err := conn.Query(ctx, "SELECT * FROM events ORDER BY raw")
			if err == nil {
				for rows.Next() { //nolint:revive // until the time is over
				}
				rows.Close() //nolint:errcheck,gosec // abandoned
			}
			return nil
		},
		func(ctx context.Context) error { return insertEvents(ctx, conn, rand.IntN(20_000), 100, nil) },
	}
	end := time.Now().Add(2 * time.Second)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for time.Now().Before(end) {
				ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_threads": rand.IntN(3) + 1}))
				if err := actions[rand.IntN(len(actions))](ctx); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	must(t, conn.QueryRow(t.Context(), "SELECT toString(now() - uptime())").Scan(&after))
	if a, b := clock(t, before), clock(t, after); b.Sub(a).Abs() > 2*time.Second {
		t.Fatalf("the engine that began at %s is gone, another began at %s", before, after)
	}
}

func clock(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.DateTime, text)
	must(t, err)
	return at
}

// TestSettings holds which settings of a request are honoured, and that one
// request's do not reach the next.
func TestSettings(t *testing.T) {
	conn := open(t)
	read := func(ctx context.Context, name string) (value string) {
		must(t, conn.QueryRow(ctx, "SELECT toString(getSetting('"+name+"'))").Scan(&value))
		return value
	}
	with := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_execution_time": 7, "max_threads": 1, "final": true}))
	if got := read(with, "max_execution_time") + read(with, "max_threads") + read(with, "final"); got != "71true" {
		t.Errorf("settings of the request: got %s, want 71true", got)
	}
	if got := read(t.Context(), "max_execution_time"); got != "60" {
		t.Errorf("the next request has max_execution_time %s, want 60", got)
	}
	must(t, conn.Exec(t.Context(), "SET max_execution_time = 3"))
	if got := read(t.Context(), "max_execution_time"); got != "60" {
		t.Errorf("after another request's SET: max_execution_time %s, want 60", got)
	}
	for name, value := range map[string]any{"max_execution_time": "1; DROP TABLE x", "max_threads": -1, "no_such_setting": 1, "log_comment": "x", "session_id": "s"} {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{name: value}))
		if err := conn.Exec(ctx, "SELECT 1"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%v: got %v, want a refusal that names it", name, value, err)
		}
	}
}

// TestWrongPassword and the other doors that must stay shut.
func TestRefusals(t *testing.T) {
	addr, user, password := embeddedtest.ClickHouse(t)
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"right password": {func(*http.Request) {}, 200},
		"headers": {func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set("X-ClickHouse-User", user)
			r.Header.Set("X-ClickHouse-Key", password)
		}, 200},
		"URL": {func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = url.Values{"user": {user}, "password": {password}}.Encode()
		}, 200},
		"wrong password":      {func(r *http.Request) { r.SetBasicAuth(user, password+"x") }, 401},
		"wrong user":          {func(r *http.Request) { r.SetBasicAuth("default", password) }, 401},
		"no password":         {func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"a web page":          {func(r *http.Request) { r.Header.Set("Origin", "https://example.com") }, 403},
		"a sandboxed page":    {func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		"a rebound name":      {func(r *http.Request) { r.Host = "evil.example.com" }, 403},
		"another address":     {func(r *http.Request) { r.Host = "10.0.0.1:80" }, 403},
		"localhost":           {func(r *http.Request) { r.Host = "localhost:1" }, 200},
		"IPv6":                {func(r *http.Request) { r.Host = "[::1]:1" }, 200},
		"PUT":                 {func(r *http.Request) { r.Method = http.MethodPut }, 405},
		"elsewhere":           {func(r *http.Request) { r.URL.Path = "/play" }, 404},
		"multipart":           {func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") }, 415},
		"unknown compression": {func(r *http.Request) { r.Header.Set("Content-Encoding", "br") }, 415},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/", strings.NewReader("SELECT 1"))
		must(t, err)
		req.SetBasicAuth(user, password)
		c.change(req)
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		must(t, errors.Join(err, resp.Body.Close()))
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d %s, want %d", name, resp.StatusCode, body, c.want)
		}
		if c.want != 200 && resp.Header.Get("X-ClickHouse-Exception-Code") == "" {
			t.Errorf("%s: no exception code", name)
		}
	}
}
