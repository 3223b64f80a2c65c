package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// kinds of question, asked in turn.
var kinds = []string{"bare", "trace", "not_found", "any_id", "search"}

// ask asks each kind so many times, in turn, so that what else the machine does
// meets all of them, and gives the times in milliseconds. The first fifth warms
// up and does not count.
func (b *bench) ask(ctx context.Context) (map[string]measure.Spread, error) {
	took := map[string]measure.Spread{}
	warm := b.samples / 5
	for i := range b.samples + warm {
		one := func() sample { return b.loaded.samples[b.loaded.random.IntN(len(b.loaded.samples))] }
		for _, kind := range kinds {
			s := one()
			began := time.Now()
			var err error
			switch kind {
			case "bare":
				err = b.bare(ctx, s)
			case "trace":
				err = b.trace(ctx, s)
			case "not_found":
				err = b.notFound(ctx)
			case "any_id":
				err = b.anyID(ctx, s, i)
			case "search":
				err = b.search(ctx, s)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", kind, err)
			}
			if i >= warm {
				spread := took[kind]
				spread.Add(float64(time.Since(began).Microseconds()) / 1000)
				took[kind] = spread
			}
		}
	}
	return took, nil
}

// bare reads a trace's rows by the primary key, over HTTP, without our code.
func (b *bench) bare(ctx context.Context, s sample) error {
	c := b.up.ClickHouse
	sql := `SELECT topic, partition, offset, timestamp, trace_id, event_id, span_id, causes, event_type, source_service
		FROM records_by_trace WHERE trace_h = sipHash64({trace:String}) FORMAT TSV`
	answer, _, err := measure.Call(ctx, "POST", c.URL+"/?"+url.Values{"database": {c.Database}, "param_trace": {s.trace}}.Encode(), []byte(sql), map[string]string{
		"X-ClickHouse-User": c.User, "X-ClickHouse-Key": c.Password,
	})
	if err == nil && strings.Count(string(answer), "\n") != hops {
		err = fmt.Errorf("%d rows of trace %s", strings.Count(string(answer), "\n"), s.trace)
	}
	return err
}

func (b *bench) trace(ctx context.Context, s sample) error {
	t, err := b.engine.Trace(ctx, policy.Everything(), answer.TraceRequest{TraceID: s.trace})
	if err == nil && (len(t.Hops) != hops || t.Ghosts != 0 || len(t.Edges) != hops-1) {
		err = fmt.Errorf("trace %s has %d hops, %d edges, %d ghosts", s.trace, len(t.Hops), len(t.Edges), t.Ghosts)
	}
	return err
}

func (b *bench) notFound(ctx context.Context) error {
	_, err := b.engine.Trace(ctx, policy.Everything(), answer.TraceRequest{TraceID: b.loaded.id(16)})
	if schema.KindOf(err) != schema.NotFound {
		return fmt.Errorf("want not found, got %w", err)
	}
	return nil
}

// anyID looks an event's id up in one of the encodings in which people paste ids.
func (b *bench) anyID(ctx context.Context, s sample, i int) error {
	raw, err := hex.DecodeString(s.event)
	if err != nil {
		return fmt.Errorf("read id: %w", err)
	}
	e := s.event
	uuid := e[:8] + "-" + e[8:12] + "-" + e[12:16] + "-" + e[16:20] + "-" + e[20:]
	typed := []string{e, strings.ToUpper(e), uuid, strings.ToUpper(uuid), base64.StdEncoding.EncodeToString(raw)}[i%5]
	found, err := b.engine.Identify(ctx, policy.Everything(), typed)
	if err == nil && (len(found.Matches) != 1 || found.Matches[0].Records[0].EventID != s.event) {
		err = fmt.Errorf("%s plays %d roles", typed, len(found.Matches))
	}
	return err
}

// search asks for the first page of one service's events within a day.
func (b *bench) search(ctx context.Context, s sample) error {
	day := time.UnixMilli(s.at).UTC()
	hop := b.loaded.random.IntN(hops)
	q := fmt.Sprintf("service:service-%d type:Event%dV* after:%s before:%s", hop, hop, day.Add(-12*time.Hour).Format(time.RFC3339), day.Add(12*time.Hour).Format(time.RFC3339))
	page, err := b.engine.Search(ctx, policy.Everything(), answer.SearchRequest{Query: q})
	if err == nil && len(page.Records) == 0 {
		err = fmt.Errorf("no record on the page of %s", q)
	}
	return err
}
