package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// Bars of what the index costs.
const (
	mostIndexing = 10.0  // µs of CPU a record beyond ClickHouse's insert
	mostBytes    = 220.0 // a record
	costRecords  = 100_000
)

// cost measures what indexing takes: the rules, the client and ClickHouse, all
// tables and merges, beside ClickHouse's time alone for the same inserts, sent
// from memory into tables of their own.
func (b *bench) cost(ctx context.Context) error {
	var records []schema.Record
	err := newMaker(2).history(costRecords, span/copies, func(list []schema.Record) error {
		records = append(records, list...)
		return nil
	})
	if err != nil {
		return err
	}
	if err := b.forget(ctx); err != nil { // of a run that was interrupted
		return err
	}
	inserts, err := b.recorded(ctx, records)
	if err != nil {
		return err
	}
	idle, err := b.idle(ctx)
	if err != nil {
		return err
	}
	var full, own, bare, beyond measure.Spread
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(len(records)) }
	for round := range b.costRounds {
		ours, engine, err := b.spent(ctx, idle, func() error {
			return b.indexed(ctx, fmt.Sprintf("cost_%d", round), b.address(), records)
		})
		if err != nil {
			return err
		}
		_, alone, err := b.spent(ctx, idle, func() error { return b.sent(ctx, fmt.Sprintf("bare_%d", round), inserts) })
		if err != nil {
			return err
		}
		full.Add(each(ours + engine))
		own.Add(each(ours))
		bare.Add(each(alone))
		beyond.Add(each(ours + engine - alone))
	}
	b.figures.All("indexing_cpu", full, "µs CPU/record")
	b.figures.Add("indexing_cpu_own", own.Median(), "µs CPU/record")
	b.figures.Add("indexing_bare_insert", bare.Median(), "µs CPU/record")
	b.figures.Around("indexing_beyond_bare_insert", beyond, "µs CPU/record")
	b.figures.AtMost("indexing_beyond_bare_insert", beyond.Median(), "µs CPU/record", mostIndexing)
	b.figures.Add("indexing_inserts", float64(len(inserts)), "inserts")
	return b.forget(ctx)
}

// forget drops the databases of this part.
func (b *bench) forget(ctx context.Context) error {
	databases := []string{"recorded"}
	for round := range b.costRounds {
		databases = append(databases, fmt.Sprintf("cost_%d", round), fmt.Sprintf("bare_%d", round))
	}
	for _, database := range databases {
		if err := b.sql(ctx, "DROP DATABASE IF EXISTS "+database+" SYNC"); err != nil {
			return err
		}
	}
	return nil
}

// indexed puts records into a new database through the index's writer.
func (b *bench) indexed(ctx context.Context, database, address string, records []schema.Record) error {
	x, err := b.openIndex(ctx, address, database)
	if err != nil {
		return err
	}
	defer x.Close() //nolint:errcheck // what it had to say was said by the inserts
	i := newIndexer(x, b.rules)
	for n := range records {
		if _, err := i.add(ctx, &records[n]); err != nil {
			return err
		}
		if s := streamOf(&records[n]); i.full(s) {
			i.cut(s)
		}
	}
	for s := range i.streams {
		i.cut(s)
	}
	return i.end(ctx)
}

// spent is the CPU that this process and ClickHouse's take for something, until
// ClickHouse has merged what it wants to.
func (b *bench) spent(ctx context.Context, idle float64, do func() error) (ours, engine time.Duration, err error) {
	runtime.GC()
	pid, err := measure.Child(b.engines.PID(), "annals-chdb")
	if err != nil {
		return 0, 0, err
	}
	before, err := measure.Usage(pid)
	if err != nil {
		return 0, 0, err
	}
	start, began := ownTime(), time.Now()
	if err := do(); err != nil {
		return 0, 0, err
	}
	ours = ownTime() - start
	if err := settled(ctx, b.up.ClickHouse); err != nil {
		return 0, 0, err
	}
	after, err := measure.Usage(pid)
	return ours, after.CPU - before.CPU - time.Duration(idle*float64(time.Since(began))), err
}

// idle is the CPU seconds that ClickHouse takes a second when it is only asked
// whether it merges.
func (b *bench) idle(ctx context.Context) (float64, error) {
	began := time.Now()
	_, engine, err := b.spent(ctx, 0, func() error { time.Sleep(3 * time.Second); return nil })
	return engine.Seconds() / time.Since(began).Seconds(), err
}

func ownTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// insert is a request as the index's client sends it.
type insert struct {
	query url.Values
	body  []byte
}

// recorded indexes records through a proxy that keeps the inserts.
func (b *bench) recorded(ctx context.Context, records []schema.Record) ([]insert, error) {
	target, err := url.Parse(b.up.ClickHouse.URL)
	if err != nil {
		return nil, fmt.Errorf("read address of ClickHouse: %w", err)
	}
	var (
		mu   sync.Mutex
		list []insert
	)
	proxy := httputil.NewSingleHostReverseProxy(target)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		if q := r.URL.Query(); strings.HasPrefix(strings.TrimSpace(q.Get("query")), "INSERT INTO") && q.Get("database") == "recorded" && !strings.Contains(q.Get("query"), "migrations") {
			mu.Lock()
			list = append(list, insert{q, body})
			mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
		proxy.ServeHTTP(w, r)
	})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	defer func() { _ = server.Close(); <-ended }()
	if err := b.indexed(ctx, "recorded", listener.Addr().String(), records); err != nil {
		return nil, err
	}
	if least := 3 * len(records) / batch; len(list) < least {
		return nil, fmt.Errorf("%d inserts were seen, want at least %d", len(list), least)
	}
	return list, nil
}

// sent sends inserts as they are, into the tables of another database.
func (b *bench) sent(ctx context.Context, database string, inserts []insert) error {
	x, err := b.openIndex(ctx, b.address(), database)
	if err != nil {
		return err
	}
	defer x.Close() //nolint:errcheck // it sent nothing
	c := b.up.ClickHouse
	for _, one := range inserts {
		one.query.Set("database", database)
		_, _, err := measure.Call(ctx, http.MethodPost, c.URL+"/?"+one.query.Encode(), one.body, map[string]string{"X-ClickHouse-User": c.User, "X-ClickHouse-Key": c.Password})
		if err != nil {
			return err
		}
	}
	n, err := measure.Count(ctx, c, "SELECT count() FROM "+database+".records")
	if err == nil && n != costRecords {
		err = fmt.Errorf("bare inserts left %d rows of records, want %d", n, costRecords)
	}
	return err
}

// bytes reports what the index takes on its disk, by table and by column.
func (b *bench) bytes(ctx context.Context) error {
	records := b.loaded.Records
	of := func(bytes string) float64 {
		n, err := strconv.ParseFloat(bytes, 64)
		if err != nil {
			return -1
		}
		return n / float64(records)
	}
	tables, err := measure.SQL(ctx, b.up.ClickHouse, `SELECT table, sum(bytes_on_disk), sum(rows), count() FROM system.parts
		WHERE active AND database = currentDatabase() GROUP BY table ORDER BY 2 DESC`)
	if err != nil {
		return err
	}
	sum := 0.0
	for _, row := range tables {
		sum += of(row[1])
		b.figures.Add("index_bytes_"+row[0], of(row[1]), "B/record")
		b.figures.Add("index_rows_"+row[0], of(row[2]), "rows/record")
		parts, err := strconv.ParseFloat(row[3], 64)
		if err != nil {
			return fmt.Errorf("read the parts of %s: %w", row[0], err)
		}
		b.figures.Add("index_parts_"+row[0], parts, "parts")
	}
	columns, err := measure.SQL(ctx, b.up.ClickHouse, fmt.Sprintf(`SELECT table, column, sum(column_bytes_on_disk) AS b FROM system.parts_columns
		WHERE active AND database = currentDatabase() AND table IN ('records', 'records_by_trace', 'id_index') GROUP BY table, column HAVING b >= %d ORDER BY table, b DESC`, records/5))
	if err != nil {
		return err
	}
	for _, row := range columns {
		b.figures.Add("index_bytes_"+row[0]+"."+row[1], of(row[2]), "B/record")
	}
	b.figures.AtMost("index_bytes", sum, "B/record", mostBytes)
	return nil
}

// openIndex opens and migrates one, in months, of which nothing expires.
func (b *bench) openIndex(ctx context.Context, address, database string) (*index.Index, error) {
	c := b.up.ClickHouse
	x, err := index.Open(index.Options{Addr: address, Database: database, User: c.User, Password: c.Password, Partition: "months"})
	if err != nil {
		return nil, err
	}
	return x, x.Migrate(ctx)
}
