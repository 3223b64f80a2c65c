package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// sample is the last record of a trace that can be asked for.
type sample struct {
	trace, event, span string
	schema.Coordinates
	at int64 // milliseconds since the Unix epoch
}

const kept = 4096 // traces that are asked for

// drawAll takes traces of all that are in each index alike, and some of those that
// are in the archive.
func (b *bench) drawAll(ctx context.Context) (err error) {
	l, database := &b.loaded, b.up.ClickHouse.Database
	if b.all.samples, err = b.drawn(ctx, database, l.Records, "1"); err != nil {
		return err
	}
	if b.few.samples, err = b.drawn(ctx, fewDatabase, l.Few, "1"); err != nil {
		return err
	}
	b.archived, err = b.drawn(ctx, database, l.Archived, fmt.Sprintf("offset < %d AND timestamp < %d", l.Stride, began.Add(span/copies).UnixMilli()))
	return err
}

// drawn takes traces of so many records for which a condition holds.
func (b *bench) drawn(ctx context.Context, database string, records int64, condition string) ([]sample, error) {
	rows, err := measure.SQL(ctx, b.up.ClickHouse, fmt.Sprintf(`SELECT trace_id, event_id, span_id, topic, partition, offset, timestamp FROM %s.records_by_trace
		WHERE topic = 'bench.step-9' AND cityHash64(trace_h) %% %d = 0 AND %s LIMIT %d`, database, max(1, records/hops/kept), condition, kept))
	if err != nil {
		return nil, err
	}
	list := make([]sample, len(rows))
	for i, row := range rows {
		s := &list[i]
		s.trace, s.event, s.span, s.Topic = row[0], row[1], row[2], row[3]
		if _, err := fmt.Sscan(strings.Join(row[4:], " "), &s.Partition, &s.Offset, &s.at); err != nil {
			return nil, fmt.Errorf("read a sample: %w", err)
		}
	}
	b.random.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	if len(list) < 100 {
		return nil, fmt.Errorf("%d traces to ask for are too few", len(list))
	}
	return list, nil
}

// question is one kind; of as many rounds it is asked every so many.
type question struct {
	name  string
	every int
	few   bool // the index of the first records is asked too, for how it grows
	ask   func(ctx context.Context, e *query.Engine, s sample, i int) (took spent, err error)
}

func (b *bench) questions() []question {
	type plain func(context.Context, *query.Engine, sample, int) error
	timed := func(ask plain) func(context.Context, *query.Engine, sample, int) (spent, error) {
		return func(ctx context.Context, e *query.Engine, s sample, i int) (spent, error) {
			stop := b.watch()
			err := ask(ctx, e, s, i)
			took, unknown := stop()
			return took, errors.Join(err, unknown)
		}
	}
	return []question{
		{"bare", 1, false, timed(b.bare)},
		{"trace", 1, true, timed(b.trace)},
		{"not_found", 1, false, timed(b.notFound)},
		{"event_id", 1, true, timed(b.eventID)},
		{"other_id", 1, true, timed(b.otherID)},
		{"unknown_id", 1, false, timed(b.unknownID)},
		{"search_day", 1, false, timed(b.searchDay)},
		{"search_newest", 2, false, timed(b.searchNewest)},
		{"search_prefix", 2, false, timed(b.searchPrefix)},
		{"search_rare", 4, true, timed(b.searchRare)},
		{"search_nothing", 4, true, timed(b.searchNothing)},
		{"payload", 1, false, b.payload},
		{"big_trace", 5, false, timed(b.big)},
	}
}

// asked is what questions of each kind took: times in milliseconds, and ClickHouse's
// CPU of all of them.
type asked struct {
	times  map[string]measure.Spread
	engine map[string]time.Duration
}

func newAsked() asked { return asked{map[string]measure.Spread{}, map[string]time.Duration{}} }

// askAll asks each kind so many times, in turn, so that what else the machine does
// meets all of them. The first fifth warms up and does not count.
func (b *bench) askAll(ctx context.Context) (all, few asked, err error) {
	all, few = newAsked(), newAsked()
	warm := b.rounds / 5
	one := func(q question, i int, of *searched, into asked) error {
		took, err := q.ask(ctx, of.engine, of.samples[b.random.IntN(len(of.samples))], i)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		if i >= warm {
			spread := into.times[q.name]
			spread.Add(took.milliseconds())
			into.times[q.name] = spread
			into.engine[q.name] += took.engine
		}
		return nil
	}
	for i := range b.rounds + warm {
		for _, q := range b.questions() {
			if i%q.every != 0 {
				continue
			}
			if err := one(q, i, b.all, all); err != nil {
				return all, few, err
			}
			if q.few {
				if err := one(q, i, b.few, few); err != nil {
					return all, few, fmt.Errorf("of few records: %w", err)
				}
			}
		}
	}
	return all, few, nil
}

// bare reads a trace's rows by the primary key, over HTTP, without our code.
func (b *bench) bare(ctx context.Context, _ *query.Engine, s sample, _ int) error {
	c := b.up.ClickHouse
	sql := `SELECT topic, partition, offset, timestamp, trace_id, event_id, span_id, causes, event_type, source_service
		FROM records_by_trace WHERE trace_h = sipHash64({trace:String}) FORMAT TSV`
	answer, _, err := measure.Call(ctx, "POST", c.URL+"/?"+url.Values{"database": {c.Database}, "param_trace": {s.trace}}.Encode(), []byte(sql), map[string]string{
		"X-ClickHouse-User": c.User, "X-ClickHouse-Key": c.Password,
	})
	if n := strings.Count(string(answer), "\n"); err == nil && n != hops {
		err = fmt.Errorf("%d rows of trace %s", n, s.trace)
	}
	return err
}

func (b *bench) trace(ctx context.Context, e *query.Engine, s sample, _ int) error {
	t, err := e.Trace(ctx, policy.Everything(), answer.TraceRequest{TraceID: s.trace})
	if err == nil && (len(t.Hops) != hops || t.Ghosts != 0 || len(t.Edges) != hops-1 || t.Sealed != hops) {
		err = fmt.Errorf("trace %s has %d hops, %d of them sealed, %d edges, %d ghosts", s.trace, len(t.Hops), t.Sealed, len(t.Edges), t.Ghosts)
	}
	return err
}

func (b *bench) notFound(ctx context.Context, e *query.Engine, _ sample, _ int) error {
	_, err := e.Trace(ctx, policy.Everything(), answer.TraceRequest{TraceID: b.unused(16)})
	if schema.KindOf(err) != schema.NotFound {
		return fmt.Errorf("want not found, got %w", err)
	}
	return nil
}

// unused is an id that nothing has.
func (b *bench) unused(size int) string {
	raw := make([]byte, size)
	for i := range raw {
		raw[i] = byte(b.random.Uint32())
	}
	return hex.EncodeToString(raw)
}

// eventID looks an event's id up in one of the encodings in which people paste ids.
func (b *bench) eventID(ctx context.Context, e *query.Engine, s sample, i int) error {
	raw, err := hex.DecodeString(s.event)
	if err != nil {
		return fmt.Errorf("read id: %w", err)
	}
	hexed := s.event
	uuid := hexed[:8] + "-" + hexed[8:12] + "-" + hexed[12:16] + "-" + hexed[16:20] + "-" + hexed[20:]
	typed := []string{hexed, strings.ToUpper(hexed), uuid, strings.ToUpper(uuid), base64.StdEncoding.EncodeToString(raw)}[i%5]
	return b.identify(ctx, e, typed, 1, s)
}

// otherID looks up a trace, a span, a correlation id or coordinates.
func (b *bench) otherID(ctx context.Context, e *query.Engine, s sample, i int) error {
	switch i % 4 {
	case 0:
		return b.identify(ctx, e, s.trace, hops, s)
	case 1:
		return b.identify(ctx, e, s.span, 1, s)
	case 2:
		return b.identify(ctx, e, correlation(s.trace), hops, s)
	default:
		return b.identify(ctx, e, s.Coordinates.String(), 1, s)
	}
}

func (b *bench) identify(ctx context.Context, e *query.Engine, typed string, records int64, s sample) error {
	found, err := e.Identify(ctx, policy.Everything(), typed)
	if err == nil && (len(found.Matches) != 1 || found.Matches[0].Count != records || found.Matches[0].TraceID != s.trace) {
		err = fmt.Errorf("%s: %+v, want one role of %d records of trace %s", typed, found.Matches, records, s.trace)
	}
	return err
}

func (b *bench) unknownID(ctx context.Context, e *query.Engine, _ sample, _ int) error {
	found, err := e.Identify(ctx, policy.Everything(), b.unused(16))
	if err == nil && len(found.Matches) > 0 {
		err = fmt.Errorf("an id that nobody has was found: %+v", found.Matches)
	}
	return err
}

// searchDay asks for the first page of one service's events within a day.
func (b *bench) searchDay(ctx context.Context, e *query.Engine, s sample, i int) error {
	day := time.UnixMilli(s.at).UTC()
	return b.search(ctx, e, query.DefaultPage, fmt.Sprintf("service:service-%d type:Event%dV* after:%s before:%s", i%hops, i%hops,
		day.Add(-12*time.Hour).Format(time.RFC3339), day.Add(12*time.Hour).Format(time.RFC3339)))
}

// searchNewest asks for a service's newest events, whenever they were.
func (b *bench) searchNewest(ctx context.Context, e *query.Engine, _ sample, i int) error {
	return b.search(ctx, e, query.DefaultPage, fmt.Sprintf("service:service-%d", i%hops))
}

func (b *bench) searchPrefix(ctx context.Context, e *query.Engine, _ sample, i int) error {
	return b.search(ctx, e, query.DefaultPage, fmt.Sprintf("topic:bench.step-%d type:Event%dV2 version:1", i%hops, i%hops))
}

// searchRare asks for what a service sent that is one record in twenty thousand.
func (b *bench) searchRare(ctx context.Context, e *query.Engine, _ sample, _ int) error {
	return b.search(ctx, e, 1, "service:"+rareService)
}

// searchNothing asks for what no record has, of all that there are.
func (b *bench) searchNothing(ctx context.Context, e *query.Engine, _ sample, i int) error {
	return b.search(ctx, e, 0, fmt.Sprintf("topic:bench.step-%d service:service-%d", i%hops, (i+1)%hops))
}

func (b *bench) search(ctx context.Context, e *query.Engine, least int, q string) error {
	page, err := e.Search(ctx, policy.Everything(), answer.SearchRequest{Query: q})
	if err == nil && (len(page.Records) < least || least == 0 && len(page.Records) > 0) {
		err = fmt.Errorf("%d records on the page of %s", len(page.Records), q)
	}
	return err
}

// payload reads one record by an engine that has opened no segment, but knows
// which streams there are.
func (b *bench) payload(ctx context.Context, _ *query.Engine, _ sample, i int) (spent, error) {
	s := b.archived[i%len(b.archived)]
	engine, err := b.newEngine(b.all.index)
	if err != nil {
		return spent{}, err
	}
	if _, err := engine.Identify(ctx, policy.Everything(), b.unused(16)); err != nil {
		return spent{}, err
	}
	stop := b.watch()
	r, err := engine.Record(ctx, policy.Everything(), answer.RecordRequest{Coordinates: s.Coordinates})
	took, unknown := stop()
	if err == nil && (r.Extraction == nil || r.Extraction.EventID != s.event || len(r.Record.Value) == 0) {
		err = fmt.Errorf("%s is not the record of event %s", s.Coordinates, s.event)
	}
	return took, errors.Join(err, unknown)
}

// big asks for the first page of a trace of ten thousand records.
func (b *bench) big(ctx context.Context, e *query.Engine, _ sample, _ int) error {
	t, err := e.Trace(ctx, policy.Everything(), answer.TraceRequest{TraceID: b.loaded.BigTrace})
	if err == nil && (len(t.Hops) != query.DefaultTraceHops || !t.Truncated) {
		err = fmt.Errorf("%d hops of the trace of %d", len(t.Hops), bigTrace)
	}
	return err
}
