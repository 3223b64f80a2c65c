package query

import (
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/term"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// typed is what a request's query asks for beyond what a request has fields
// for.
type typed struct {
	term.Search
	beginnings []string // of topics' names
}

// typedOf reads a request's query and puts what it names into the request,
// which must not name it too: neither would be what was meant.
func typedOf(r *answer.SearchRequest, now time.Time) (t typed, err error) {
	if t.Search, err = term.Parse(r.Query, now); err != nil {
		return t, schema.InvalidField("q", "%w", err)
	}
	if err := t.isIndexed(); err != nil {
		return t, err
	}
	for _, topic := range t.Topics {
		if topic.Prefix {
			t.beginnings = append(t.beginnings, topic.Text)
		}
	}
	for _, twice := range []struct {
		name  string
		given bool
	}{
		{"topic", len(t.Topics) > 0 && len(r.Topics) > 0},
		{"type", t.Type != term.Match{} && r.EventType != ""},
		{"service", t.Service != term.Match{} && r.Service != ""},
		{"violation", t.Violation != term.Match{} && r.Violation != ""},
		{"stage", t.Stage != "" && r.Stage != ""},
		{"id", t.ID != "" && r.ID != ""},
		{"after", !t.From.IsZero() && !r.From.IsZero()},
		{"before", !t.To.IsZero() && !r.To.IsZero()},
		{"status", t.Status != "" && len(r.Statuses) > 0 && !slices.Equal(r.Statuses, []schema.Status{schema.Committed})},
		{"topic_id", r.TopicID != nil && len(t.beginnings) > 0},
	} {
		if twice.given {
			return t, schema.InvalidField("q", "%s is given by the query and beside it: leave one out", twice.name)
		}
	}
	t.ask(r)
	return t, nil
}

// ask puts into a request what it has fields for.
func (t *typed) ask(r *answer.SearchRequest) {
	for _, topic := range t.Topics {
		if !topic.Prefix {
			r.Topics = append(r.Topics, topic.Text)
		}
	}
	if !t.Type.Prefix && t.Type.Text != "" {
		r.EventType = t.Type.Text
	}
	if !t.Service.Prefix && t.Service.Text != "" {
		r.Service = t.Service.Text
	}
	if r.Violation == "" {
		if r.Violation = t.Violation.Text; t.Violation.Prefix {
			r.Violation += "*"
		}
	}
	if t.Stage != "" {
		r.Stage = t.Stage
	}
	if t.ID != "" {
		r.ID = t.ID
	}
	if !t.From.IsZero() {
		r.From = t.From
	}
	if !t.To.IsZero() {
		r.To = t.To
	}
	if t.Status != "" {
		r.Statuses = statusesOf(t.Status)
	}
}

// into puts the rest into a filter, but for topics.
func (t *typed) into(f *index.Filter) {
	f.Version, f.Partition = t.Version, t.Partition
	f.EventFrom, f.EventTo = microsOf(t.EventFrom), microsOf(t.EventTo)
	if t.Type.Prefix {
		f.TypePrefix = t.Type.Text
	}
	if t.Service.Prefix {
		f.ServicePrefix = t.Service.Text
	}
}

// milliOf is a time as records have it, and nil for none: the first millisecond that
// is not before it, so that a range begins with what is not older than it asks for and
// ends before what is as new as its end.
func milliOf(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	milli := t.Add(time.Millisecond - 1).UnixMilli()
	return &milli
}

// microsOf is a time as events have it, and nil for none.
func microsOf(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	micros := t.Add(time.Microsecond - 1).UnixMicro()
	return &micros
}

// happened tells whether an event's time is within bounds, either of which may be nil.
func happened(at int64, has bool, from, to *int64) bool {
	return (from == nil || has && at >= *from) && (to == nil || has && at < *to)
}

// topics adds those that the principal may see and whose names begin so.
func (t *typed) topics(c *catalog, who policy.Principal, f *index.Filter, page *answer.Page) {
	for _, beginning := range t.beginnings {
		found := false
		for name := range c.newest {
			if !strings.HasPrefix(name, beginning) {
				continue
			}
			at, ok := c.incarnation(who, name, nil)
			if !ok {
				continue
			}
			if found = true; !slices.Contains(f.Topics, at) {
				f.Topics = append(f.Topics, at)
			}
		}
		if !found {
			page.Unknown = append(page.Unknown, answer.UnknownTopic{Topic: beginning + "*"})
		}
	}
}

// ownerFilter is what a team owns, by the same rules as the catalog has it: event
// types by their contracts, and, where those name nobody, the topics by their
// policy.
func (e *Engine) ownerFilter(c *catalog, who policy.Principal, team string) *index.OwnerFilter {
	o := &index.OwnerFilter{}
	seen := map[string]bool{}
	for _, contract := range e.options.Contracts.All() {
		if seen[contract.Type] {
			continue
		}
		seen[contract.Type] = true
		switch owner, _ := e.team(contract.Type, nil); owner {
		case "":
		case team:
			o.Types = append(o.Types, contract.Type)
		default:
			o.Others = append(o.Others, contract.Type)
		}
	}
	for name := range c.newest {
		if who.Topics.Allows(name) && e.options.Policy.Of(name).Team.Value == team {
			o.Topics = append(o.Topics, name)
		}
	}
	return o
}

// owns tells whether a record is a team's.
func (e *Engine) owns(team, topic, eventType string) bool {
	owner, _ := e.team(eventType, []string{topic})
	return owner == team
}
