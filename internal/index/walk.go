package index

import (
	"context"
	"math"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// span is a range of record times, to exclusive but for the last instant.
type span struct{ from, to int64 }

// walk cuts the time that a search is about into spans, the newest first. Every
// instant of it that may have a record is in one: the rollups, which know nothing
// of what is not sealed, say only how wide a span should be.
type walk struct {
	x     *Index
	left  span // what was not given yet
	round int  // spans of times that clocks show

	known      bool   // rollups say how many records a filter has
	conditions string // on rollups
	arguments  []any
}

// Widths of spans of time.
const (
	firstSpan = hourMillis // no rollups are asked for this long
	firstLook = 64 * hourMillis
)

// walk begins one.
func (x *Index) walk(ctx context.Context, f Filter, scope Scope) (*walk, error) {
	asked := span{math.MinInt64, math.MaxInt64}
	if f.From != nil {
		asked.from = *f.From
	}
	if f.To != nil {
		asked.to = *f.To
	}
	if f.After != nil && f.After.Timestamp < math.MaxInt64 {
		asked.to = min(asked.to, f.After.Timestamp+1)
	}
	left, err := x.within(ctx, asked)
	if err != nil {
		return nil, err
	}
	w := &walk{x: x, left: left, known: f.rolledUp()}
	f.After = nil // rollups are by the hour
	w.conditions, w.arguments, err = f.where(scope)
	return w, err
}

// within narrows a span to the records that there are, which ClickHouse knows of
// each part without reading it.
func (x *Index) within(ctx context.Context, s span) (span, error) {
	var (
		records       uint64
		least, newest int64
	)
	err := x.query(ctx, "search records", "SELECT count(), min(timestamp), max(timestamp) FROM records", nil, func(rows scanner) error {
		return rows.Scan(&records, &least, &newest)
	})
	if err != nil {
		return s, err
	}
	if records == 0 {
		return span{s.from, s.from}, nil
	}
	s.from = max(s.from, least)
	if newest < math.MaxInt64 {
		s.to = min(s.to, newest+1)
	}
	return s, nil
}

// next gives the next span, in which the rollups have so many records of the
// filter at least, if there are as many; false behind the last one.
func (w *walk) next(ctx context.Context, want int) (span, bool, error) {
	s := w.left
	if s.from >= s.to {
		return s, false, nil
	}
	switch {
	case s.to > endMilli: // times that no clock shows are spans of their own
		s.from = max(s.from, endMilli)
	case s.to > firstMilli:
		s.from = max(s.from, firstMilli)
		from, err := w.width(ctx, s, want)
		if err != nil {
			return s, false, err
		}
		s.from = from
		w.round++
	}
	w.left.to = s.from
	return s, true, nil
}

// width gives where a span ends that begins at s.to.
func (w *walk) width(ctx context.Context, s span, want int) (int64, error) {
	switch {
	case w.round == 0:
		return max(s.from, hourOf(s.to-1)-firstSpan), nil
	case !w.known:
		return max(s.from, s.to-firstSpan<<(3*min(w.round, 10))), nil
	}
	// Rollups of a range that was read again may be there twice for a while, and
	// say too much: the next span takes twice as many.
	want <<= min(w.round-1, 10)
	for to, look := s.to, int64(firstLook); ; look *= 64 {
		from := max(s.from, hourOf(to-look))
		at, records, err := w.look(ctx, span{from, to}, want)
		if err != nil || records >= want {
			return max(s.from, at), err
		}
		if from == s.from {
			return from, nil
		}
		want -= records
		to = from
	}
}

// look counts the records of a span's whole hours by the rollups, newest first, and
// gives the hour at which there are as many as wanted, or how many there are.
func (w *walk) look(ctx context.Context, s span, want int) (hour int64, records int, err error) {
	arguments := append(w.arguments[:len(w.arguments):len(w.arguments)],
		clickhouse.Named("from", hourOf(s.from)), clickhouse.Named("to", s.to), clickhouse.Named("limit", uint64(want)))
	// An hour with a row has a record: more hours than that are not needed.
	err = w.x.query(ctx, "search records", `
		SELECT toInt64(toUnixTimestamp(hour)) * 1000 AS at, sum(records) FROM rollups
		WHERE timestamp >= {from:Int64} AND min_timestamp < {to:Int64} AND at < {to:Int64} AND at >= {from:Int64} AND `+w.conditions+`
		GROUP BY at ORDER BY at DESC LIMIT {limit:UInt64}`, arguments, func(rows scanner) error {
		var at, n int64
		if err := rows.Scan(&at, &n); err != nil {
			return err
		}
		if records < want {
			hour, records = at, records+int(min(n, math.MaxInt32))
		}
		return nil
	})
	return hour, records, err
}

// hourOf is the beginning of a time's hour.
func hourOf(milli int64) int64 {
	hour := milli - milli%hourMillis
	if hour > milli {
		hour -= hourMillis
	}
	return hour
}
