package replay

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/filter"
	"github.com/fx-risk-ai/annals/internal/term"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// typed puts what a request's query asks for into the request, which must not ask for
// it too: neither would be what was meant. A term for which a selection has no field
// is refused. How a type or a service begins, and headers, become a part of the filter.
func typed(r *answer.ReplayRequest, now time.Time) error {
	if strings.TrimSpace(r.Query) == "" {
		return nil
	}
	q, err := term.Parse(r.Query, now)
	if err != nil {
		return schema.InvalidField("query", "%w", err)
	}
	if err := untyped(&q); err != nil {
		return err
	}
	var holds []string // in CEL
	for _, one := range []struct {
		name  string
		given bool
		taken bool
		take  func()
	}{
		{"topic", len(q.Topics) > 0, len(r.Topics) > 0, func() { r.Topics = topicsOf(q.Topics) }},
		{"after", !q.From.IsZero(), !r.From.IsZero(), func() { r.From = q.From }},
		{"before", !q.To.IsZero(), !r.To.IsZero(), func() { r.To = q.To }},
		{"event_after", !q.EventFrom.IsZero(), !r.EventFrom.IsZero(), func() { r.EventFrom = q.EventFrom }},
		{"event_before", !q.EventTo.IsZero(), !r.EventTo.IsZero(), func() { r.EventTo = q.EventTo }},
		{"partition", q.Partition != nil, len(r.Partitions) > 0, func() { r.Partitions = []int32{*q.Partition} }},
		{"version", q.Version != "", len(r.EventVersions) > 0, func() { r.EventVersions = []string{q.Version} }},
		{"stage", q.Stage != "", len(r.Stages) > 0, func() { r.Stages = []string{q.Stage} }},
		{"type", q.Type != term.Match{}, len(r.EventTypes) > 0, func() { r.EventTypes, holds = meets(q.Type, "eventType", holds) }},
		{"service", q.Service != term.Match{}, len(r.Services) > 0, func() { r.Services, holds = meets(q.Service, "service", holds) }},
	} {
		if one.given && one.taken {
			return schema.InvalidField("query", "%w", q.Refuse(one.name, "%s is given by the query and beside it: leave one out", one.name))
		}
		if one.given {
			one.take()
		}
	}
	for _, b := range q.Bytes {
		if b.Part == term.Header {
			holds = append(holds, fmt.Sprintf("headerList.exists(h, type(h.name) == string && h.name.matches(%s) && h.value == %s)",
				quoted("(?i)^"+regexp.QuoteMeta(b.Name)+"$"), quoted(b.Value)))
			continue
		}
		if len(r.Keys) > 0 {
			return schema.InvalidField("query", "a record has one key, and two are given")
		}
		r.Keys = [][]byte{[]byte(b.Value)}
	}
	if len(holds) > 0 && strings.TrimSpace(r.Filter) != "" {
		if _, err := filter.Compile(r.Filter); err != nil { // so that it points into what was typed
			return schema.InvalidField("filter", "filter: %w", err)
		}
		holds = append(holds, "("+r.Filter+")")
	}
	if len(holds) > 0 {
		r.Filter = strings.Join(holds, " && ")
	}
	r.Query = ""
	return nil
}

// untyped refuses terms that a replay cannot select by, and says what can.
func untyped(q *term.Search) error {
	for _, one := range []struct {
		field string
		given bool
		says  string
	}{
		{"id", q.ID != "", "an id selects no records of a replay: name a trace (trace_id), or filter by eventId, spanId or a header"},
		{"team", q.Team != "", "a replay knows no teams: name topics, or a pattern of them"},
		{"violation", q.Violation.Text != "", "violations are searched for, not replayed: filter by what breaks the rule"},
		{"status", q.Status != "" && q.Status != "committed", "only committed records are replayed"},
	} {
		if one.given {
			return schema.InvalidField("query", "%w", q.Refuse(one.field, "%s", one.says))
		}
	}
	for _, b := range q.Bytes {
		if b.Part == term.Payload || b.Part == term.Pointer {
			return schema.InvalidField("query", "%w", &term.Error{At: b.At, Message: "payloads are looked into by a filter, such as value.amount > 1000"})
		}
	}
	return nil
}

// topicsOf are names and patterns.
func topicsOf(list []term.Match) (topics []string) {
	for _, m := range list {
		if m.Prefix {
			topics = append(topics, m.Text+"*")
		} else {
			topics = append(topics, m.Text)
		}
	}
	return topics
}

// meets gives a list of the one text, or how it begins to what a filter holds.
func meets(m term.Match, variable string, holds []string) ([]string, []string) {
	if !m.Prefix {
		return []string{m.Text}, holds
	}
	return nil, append(holds, variable+".startsWith("+quoted(m.Text)+")")
}

// quoted is a text in CEL, whose escapes Go's are among.
func quoted(text string) string { return strconv.Quote(text) }
