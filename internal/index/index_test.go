package index_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

func TestMain(m *testing.M) { embeddedtest.VerifyNoLeaks(m, embeddedtest.IgnoreClickHouse()...) }

// engine is an index over a fresh database, and a way to ask it in plain SQL.
type engine struct {
	*index.Index
	options index.Options
	t       testing.TB
}

func open(t testing.TB, change func(*index.Options)) *engine {
	t.Helper()
	e := &engine{t: t}
	e.options.Addr, e.options.User, e.options.Password = embeddedtest.ClickHouse(t)
	e.options.Database = embeddedtest.Database(t)
	if change != nil {
		change(&e.options)
	}
	e.reopen(e.options)
	return e
}

// reopen goes on with a new index over the same database.
func (e *engine) reopen(options index.Options) {
	e.t.Helper()
	x, err := index.Open(options)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = x.Close() })
	if err := x.Migrate(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
	e.Index = x
}

// ask runs a statement; "db." stands for the test's database.
func (e *engine) ask(sql string) string {
	e.t.Helper()
	sql = strings.ReplaceAll(sql, "db.", e.options.Database+".")
	return strings.TrimSpace(embeddedtest.Exec(e.t, e.options.Addr, e.options.User, e.options.Password, sql))
}

var day = time.Date(2024, 5, 17, 14, 15, 0, 0, time.UTC)

// row makes a record with an extraction to match; n makes it unlike any other.
func row(topic string, partition int32, n int64) index.Row {
	var id schema.TopicID
	copy(id[:], topic)
	binary.BigEndian.PutUint16(id[14:], uint16(len(topic)))
	return index.Row{
		Record: &schema.Record{
			Topic: topic, TopicID: id, Partition: partition, Offset: n,
			Timestamp: day.UnixMilli() + n, Status: schema.Committed,
			Key: []byte("EUR"), Value: []byte(`{"rate":1.0845}`),
		},
		Extraction: &schema.Extraction{
			EventID: fmt.Sprintf("%s-event-%d-%d", topic, partition, n), EventType: "FxRateReceived", EventVersion: "2",
			SourceService: "ecb-gateway", TraceID: fmt.Sprintf("%032x", n), SpanID: fmt.Sprintf("%016x", n),
			EventTime: day.UnixMicro() + n, HasEventTime: true, Stage: schema.StageIngestion,
		},
	}
}

func insert(t testing.TB, x *engine, rows ...index.Row) {
	t.Helper()
	if err := x.InsertRecords(t.Context(), rows, day); err != nil {
		t.Fatal(err)
	}
}

func TestHashIsClickHouseSipHash(t *testing.T) {
	x := open(t, nil)
	const text = "aZ9-üaZ9-üaZ9-üaZ9-ü"
	var want []string
	for n := range len(text) + 1 {
		want = append(want, fmt.Sprint(index.Hash(text[:n])))
	}
	got := x.ask("SELECT arrayMap(n -> sipHash64(substring('" + text + "', 1, n)), range(" + fmt.Sprint(len(text)+1) + "))")
	if got != "["+strings.Join(want, ",")+"]" {
		t.Errorf("hashes of prefixes of %q: ClickHouse %s, we %v", text, got, want)
	}
}

func TestMigrateTwiceAndConcurrently(t *testing.T) {
	x := open(t, nil)
	failed := make(chan error, 4)
	for range cap(failed) {
		go func() { failed <- x.Migrate(context.Background()) }()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if got := x.ask("SELECT count(), uniqExact(version) FROM db.migrations"); got != "10\t10" {
		t.Errorf("migrations applied and versions: %s", got)
	}
}

func TestPeriodIsKept(t *testing.T) {
	x := open(t, func(o *index.Options) { o.Partition = "years" })
	insert(t, x, row("a", 0, 1))
	other := x.options
	other.Partition = "months"
	x.reopen(other)
	insert(t, x, row("a", 0, 2))
	if got := x.ask("SELECT DISTINCT partition FROM system.parts WHERE active AND database = '" + x.options.Database + "' AND table = 'records'"); got != "2024" {
		t.Errorf("partitions %q", got)
	}
}

// Who looks a trace up opens every partition, so there are few of them.
func TestTracesOfYearsLieInFewPartitions(t *testing.T) {
	x := open(t, func(o *index.Options) { o.Partition = "years" })
	var rows []index.Row
	for n := range int64(27) {
		r := row("a", 0, n)
		r.Record.Timestamp = time.Date(1999+int(n), 6, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
		rows = append(rows, r)
	}
	insert(t, x, rows...)
	for table, want := range map[string]string{"records": "27", "id_index": "27", "records_by_trace": "7"} {
		if got := x.ask("SELECT uniqExact(_partition_id) FROM db." + table); got != want {
			t.Errorf("%s: %s partitions, want %s", table, got, want)
		}
	}
}

func TestRetention(t *testing.T) {
	x := open(t, func(o *index.Options) { o.Retention = 400 * 24 * time.Hour })
	old, fresh, mad := row("a", 0, 1), row("a", 0, 2), row("a", 0, 3)
	old.Record.Timestamp = time.Now().AddDate(-3, 0, 0).UnixMilli()
	fresh.Record.Timestamp = time.Now().UnixMilli()
	mad.Record.Timestamp = -1
	insert(t, x, old, fresh, mad)
	for _, table := range []string{"records", "records_by_trace", "id_index"} {
		x.ask("OPTIMIZE TABLE db." + table + " FINAL")
		if got := x.ask("SELECT groupUniqArray(offset) AS o FROM (SELECT offset FROM db." + table + " ORDER BY offset)"); got != "[2,3]" && got != "[3,2]" {
			t.Errorf("%s keeps offsets %s", table, got)
		}
	}
	other := x.options
	other.Retention = 0
	x.reopen(other) // nobody asked for it
	if got := x.ask("SELECT countIf(create_table_query LIKE '% TTL %') FROM system.tables WHERE database = '" + x.options.Database + "'"); got != "6" {
		t.Errorf("a retention that was not given: %s tables have a TTL, want 6", got)
	}
	for _, retention := range []time.Duration{0, 10 * 365 * 24 * time.Hour} {
		other.Retention, other.Given.Retention = retention, true
		x.reopen(other)
		got := x.ask("SELECT countIf(create_table_query LIKE '% TTL %') FROM system.tables WHERE database = '" + x.options.Database + "'")
		if want := map[bool]string{true: "0", false: "6"}[retention == 0]; got != want {
			t.Errorf("retention %v: %s tables have a TTL, want %s", retention, got, want)
		}
	}
}

// A division that takes no more rows becomes one part; look-ups open all parts.
func TestIdlePartitionsAreMerged(t *testing.T) {
	x := open(t, nil)
	for n := range int64(3) {
		insert(t, x, row("a", 0, n))
	}
	parts := "SELECT count() FROM system.parts WHERE active AND database = '" + x.options.Database + "' AND table = 'id_index'"
	if got := x.ask(parts); got != "3" {
		t.Fatalf("%s parts after three inserts: nothing is left to merge", got)
	}
	other := x.options
	other.MergeIdle, other.Given.MergeIdle = time.Second, true
	x.reopen(other)
	for deadline := time.Now().Add(30 * time.Second); x.ask(parts) != "1"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s parts, half a minute after the last insert", x.ask(parts))
		}
	}
}

func TestPartitionsOfHostileTimes(t *testing.T) {
	x := open(t, nil)
	var rows []index.Row
	// More months in one call than a block may hold, backwards, and times no clock shows.
	for n := range int64(120) {
		r := row("a", 0, n)
		r.Record.Timestamp = day.AddDate(0, -int(n), 0).UnixMilli()
		rows = append(rows, r)
	}
	for i, ts := range []int64{-1, 0, -1 << 63, 1<<63 - 1, 4102444800000, 253402300800000} {
		r := row("a", 0, 1000+int64(i))
		r.Record.Timestamp = ts
		rows = append(rows, r)
	}
	insert(t, x, rows...)
	for _, table := range []string{"records", "records_by_trace"} {
		got := x.ask("SELECT count(), uniqExact(_partition_id), countIf(_partition_id = '0') FROM db." + table)
		if got != "126\t121\t6" {
			t.Errorf("%s: rows, partitions, rows in partition 0: %s", table, got)
		}
	}
}

func TestInsertRefusesWhatNoSegmentHolds(t *testing.T) {
	x := open(t, nil)
	undecided, zero := row("a", 0, 1), row("a", 0, 2)
	undecided.Record.Status = schema.Undecided
	zero.Record.TopicID = schema.TopicID{}
	for _, bad := range []index.Row{undecided, zero, {}} {
		err := x.InsertRecords(t.Context(), []index.Row{row("a", 0, 3), bad}, day)
		if schema.KindOf(err) != schema.Invalid {
			t.Errorf("got %v", err)
		}
	}
	if got := x.ask("SELECT count() FROM db.records"); got != "0" {
		t.Errorf("%s rows were inserted", got)
	}
}

func TestColumnListsMatchTables(t *testing.T) {
	x := open(t, nil)
	for table, columns := range index.TableColumns() {
		want := strings.Join(columns, "\n")
		got := x.ask("SELECT concat(name, ' ', type) FROM system.columns WHERE database = '" + x.options.Database +
			"' AND table = '" + table + "' AND default_kind = '' ORDER BY position FORMAT TSVRaw")
		if got != want {
			t.Errorf("%s: table has\n%s\ninserts have\n%s", table, got, want)
		}
	}
}
