package index_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// history makes records shaped like the demo's: per fixing day 31 rates
// received and enriched, 31 volatilities with 20 causes each over the last
// days, 3 exposures with 31 causes.
type history struct {
	random  *rand.Rand
	offsets map[string]int64
	window  [][]string // enriched event ids of the last 20 days
	days    int
}

func newHistory() *history {
	return &history{random: rand.New(rand.NewPCG(1, 2)), offsets: map[string]int64{}}
}

func (h *history) id(bytes int) string {
	b := make([]byte, bytes)
	for i := range b {
		b[i] = byte(h.random.Uint32())
	}
	return fmt.Sprintf("%x", b)
}

func (h *history) record(topic, trace string, n int, causes []schema.Cause) index.Row {
	partition := int32(n % 3)
	at := fmt.Sprintf("%s/%d", topic, partition)
	r := row(topic, partition, h.offsets[at])
	h.offsets[at]++
	r.Record.Timestamp = time.Date(1999, 1, 4, 14, 15, 0, n*1e6, time.UTC).AddDate(0, 0, h.days*7/5).UnixMilli()
	r.Extraction.EventType = topic + ".v"
	r.Extraction.TraceID, r.Extraction.EventID, r.Extraction.SpanID = trace, h.id(16), h.id(8)
	r.Extraction.Causes = causes
	return r
}

// day gives the records of the next fixing day and its trace id.
func (h *history) day() (rows []index.Row, trace string) {
	trace = h.id(16)
	var enriched []string
	for n := range 31 {
		rows = append(rows, h.record("fx.rates.received", trace, n, nil))
	}
	for n := range 31 {
		r := h.record("fx.rates.enriched", trace, n, nil)
		enriched = append(enriched, r.Extraction.EventID)
		rows = append(rows, r)
	}
	if h.window = append(h.window, enriched); len(h.window) > 20 {
		h.window = h.window[1:]
	}
	for n := range 31 {
		var causes []schema.Cause
		for _, ids := range h.window {
			causes = append(causes, schema.Cause{Kind: schema.CauseEvent, ID: ids[n]})
		}
		rows = append(rows, h.record("fx.risk.volatility", trace, n, causes))
	}
	for n := range 3 {
		var causes []schema.Cause
		for _, id := range enriched {
			causes = append(causes, schema.Cause{Kind: schema.CauseEvent, ID: id})
		}
		rows = append(rows, h.record("fx.risk.exposure", trace, n, causes))
	}
	h.days++
	return rows, trace
}

// TestInsertRate prints how fast demo-shaped records go into all tables, and
// beside it a bare insert of as many narrow rows into one table.
func TestInsertRate(t *testing.T) {
	if os.Getenv("ANNALS_BENCH") == "" {
		t.Skip("set ANNALS_BENCH=1 to measure")
	}
	x := open(t, func(o *index.Options) { o.Partition = "years" })
	h := newHistory()
	var rows []index.Row
	ids := 0
	for range 1000 {
		day, _ := h.day()
		for _, r := range day {
			ids += 3 + len(r.Extraction.Causes)
		}
		rows = append(rows, day...)
	}
	bare := bareInsert(t, x, ids)
	for _, size := range []int{5_000, 20_000, len(rows)} {
		x := open(t, func(o *index.Options) { o.Partition = "years" })
		began := time.Now()
		ours, engine := embeddedtest.CPUTime()
		for from := 0; from < len(rows); from += size {
			insert(t, x, rows[from:min(from+size, len(rows))]...)
		}
		took := time.Since(began)
		oursNow, engineNow := embeddedtest.CPUTime()
		fmt.Printf("insert in calls of %6d: %7.0f records/s, %8.0f ids/s, %d records with %.1f ids each, CPU µs a record: ours %.1f, engine %.1f; bare one-table insert %.0f rows/s; %d CPUs\n",
			size, float64(len(rows))/took.Seconds(), float64(ids)/took.Seconds(), len(rows),
			float64(ids)/float64(len(rows)),
			micros(oursNow-ours, len(rows)), micros(engineNow-engine, len(rows)), bare, runtime.NumCPU())
	}
}

func bareInsert(t *testing.T, x *engine, rows int) float64 {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{x.options.Addr},
		Auth: clickhouse.Auth{Database: x.options.Database, Username: x.options.User, Password: x.options.Password},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	x.ask("CREATE TABLE db.bare (h UInt64, a UInt64, b Int64) ENGINE = MergeTree ORDER BY h")
	hs, as, bs := make([]uint64, rows), make([]uint64, rows), make([]int64, rows)
	for i := range hs {
		hs[i], as[i], bs[i] = rand.Uint64(), uint64(i), int64(i)
	}
	began := time.Now()
	for from := 0; from < rows; from += 200_000 {
		to := min(from+200_000, rows)
		batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO bare (h, a, b)")
		if err != nil {
			t.Fatal(err)
		}
		for i, column := range []any{hs[from:to], as[from:to], bs[from:to]} {
			if err := batch.Column(i).Append(column); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			t.Fatal(err)
		}
	}
	return float64(rows) / time.Since(began).Seconds()
}

func micros(d time.Duration, n int) float64 { return float64(d.Microseconds()) / float64(n) }
