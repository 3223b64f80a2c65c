package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
)

// Limits of what is asked.
const (
	tracesAsked         = 100
	tracesBefore        = 20 // before the index has merged its parts
	mergesWithin        = time.Minute
	structureMillis     = 50
	diffMillis          = 250
	firstLoadBytes      = 150_000
	leastHops, mostHops = 90, 110
)

// traces asks for a hundred fixing days that were never asked before, by
// structure, and for a hundred others with all their diffs, once the index has
// merged what the load left behind (index.merge_idle); before that for a few,
// for information.
func (b *bench) traces(ctx context.Context, s *stack) error {
	rows, err := measure.SQL(ctx, s.up.ClickHouse, fmt.Sprintf(`SELECT trace_id FROM records_by_trace WHERE status = 'committed'
		GROUP BY trace_id HAVING uniqExact(topic_id, partition, offset) BETWEEN %d AND %d
		ORDER BY cityHash64(trace_id) LIMIT %d`, leastHops, mostHops, 2*(tracesAsked+tracesBefore)))
	if err != nil {
		return err
	}
	if len(rows) < 2*(tracesAsked+tracesBefore) {
		return fmt.Errorf("only %d fixing days have %d to %d records", len(rows), leastHops, mostHops)
	}
	var before, after asked
	if err := before.ask(ctx, s, rows[:2*tracesBefore]); err != nil {
		return err
	}
	b.figures.Add("trace_structure_unmerged_p50", before.structure.Quantile(0.5), "ms")
	b.figures.Add("trace_structure_unmerged_p95", before.structure.Quantile(0.95), "ms")
	if err := b.merged(ctx, s); err != nil {
		return err
	}
	if err := after.ask(ctx, s, rows[2*tracesBefore:]); err != nil {
		return err
	}
	b.figures.Add("trace_hops_p50", after.hops.Quantile(0.5), "records")
	b.figures.Add("trace_outside_parents_p50", after.outside.Quantile(0.5), "parents")
	b.figures.Add("trace_structure_p50", after.structure.Quantile(0.5), "ms")
	b.figures.AtMost("trace_structure_p95", after.structure.Quantile(0.95), "ms", structureMillis)
	b.figures.Add("trace_diffs_p50", after.diffs.Quantile(0.5), "ms")
	b.figures.AtMost("trace_diffs_p95", after.diffs.Quantile(0.95), "ms", diffMillis)
	return nil
}

// asked are the times of look-ups, and how large what they gave was.
type asked struct{ structure, diffs, hops, outside measure.Spread }

// ask asks for traces in turn by structure and with diffs.
func (a *asked) ask(ctx context.Context, s *stack, rows [][]string) error {
	for i, row := range rows {
		times, query := &a.structure, ""
		if i%2 == 1 {
			times, query = &a.diffs, "?diffs=true"
		}
		began := time.Now()
		body, _, err := measure.Call(ctx, http.MethodGet, s.up.Web+"/api/v1/traces/"+url.PathEscape(row[0])+query, nil, nil)
		if err != nil {
			return err
		}
		times.Add(float64(time.Since(began).Microseconds()) / 1000) // to the answer's last byte
		var trace answer
		if err := json.Unmarshal(body, &trace); err != nil {
			return fmt.Errorf("decode trace %s: %w", row[0], err)
		}
		a.hops.Add(float64(len(trace.Hops)))
		a.outside.Add(float64(trace.Outside))
		if n := len(trace.Hops); n < leastHops || n > mostHops || i%2 == 1 && trace.compared() == 0 {
			return fmt.Errorf("trace %s has %d hops, %d of them compared", row[0], n, trace.compared())
		}
	}
	return nil
}

// merged waits until every partition of the tables that a trace is read from is
// one part, and says how long that took; it goes on after a minute, and says so.
func (b *bench) merged(ctx context.Context, s *stack) error {
	began := time.Now()
	for {
		rows, err := measure.SQL(ctx, s.up.ClickHouse, `SELECT (SELECT count() FROM system.merges), countIf(parts > 1) FROM (
			SELECT count() AS parts FROM system.parts WHERE active AND database = currentDatabase()
			AND table IN ('records_by_trace', 'id_index') GROUP BY table, partition)`)
		if err != nil {
			return err
		}
		if len(rows) == 1 && rows[0][0] == "0" && rows[0][1] == "0" {
			break
		}
		if time.Since(began) > mergesWithin {
			b.log.Warn("the index is still in several parts; traces are measured as it is", "merges", rows)
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
	b.figures.Add("trace_waited_for_merges", time.Since(began).Seconds(), "s")
	return nil
}

// answer is what is read of a trace.
type answer struct {
	Hops []struct {
		Diff *struct{} `json:"diff"`
	}
	Outside int `json:"outside_parents"`
}

func (a *answer) compared() int {
	n := 0
	for _, hop := range a.Hops {
		if hop.Diff != nil {
			n++
		}
	}
	return n
}

// asset finds what a page loads at once: scripts, preloads and style sheets.
var asset = regexp.MustCompile(`(?:src|href)="([^"]+\.(?:js|css|woff2|svg))"`)

// explorer counts the bytes of the explorer's first load, as they travel.
func (b *bench) explorer(ctx context.Context, s *stack) error {
	gzipped := map[string]string{"Accept-Encoding": "gzip"}
	page, _, err := measure.Call(ctx, http.MethodGet, s.up.Web+"/", nil, map[string]string{"Accept-Encoding": "identity"})
	if err != nil {
		return err
	}
	assets := asset.FindAllSubmatch(page, -1)
	if len(assets) == 0 {
		if _, err := exec.LookPath("node"); err == nil {
			return errors.New("the explorer is not built, though Node is here: make ui")
		}
		b.log.Warn("not measured: the explorer is not built, and Node is not here")
		return nil
	}
	sum := 0
	seen := map[string]bool{}
	for _, path := range append([]string{"/"}, names(assets)...) {
		if seen[path] {
			continue
		}
		seen[path] = true
		body, _, err := measure.Call(ctx, http.MethodGet, s.up.Web+"/"+strings.TrimLeft(strings.TrimPrefix(path, "."), "/"), nil, gzipped)
		if err != nil {
			return err
		}
		sum += len(body)
	}
	b.figures.Add("explorer_requests", float64(len(seen)), "requests")
	b.figures.AtMost("explorer_first_load", float64(sum)/1000, "KB", firstLoadBytes/1000)
	return nil
}

func names(found [][][]byte) []string {
	var list []string
	for _, f := range found {
		list = append(list, string(f[1]))
	}
	return list
}
