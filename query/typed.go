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
	if len(t.Bytes) > 0 {
		return t, schema.InvalidField("q", "%w", unindexed(t.Bytes[0]))
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

// unindexed says why a search cannot answer a term, and what does.
func unindexed(b term.Bytes) error {
	what := map[term.Part]string{
		term.Key: "keys are", term.Header: "headers are", term.Payload: "payloads are", term.Pointer: "payloads are",
	}[b.Part]
	return &term.Error{At: b.At, Message: what + " not in the index: they are read from the archive itself, within bounds (annals search --scan, GET /records/scan). A header that is an id, such as traceId or correlationId, is found by its value alone"}
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
	if t.Type.Prefix {
		f.TypePrefix = t.Type.Text
	}
	if t.Service.Prefix {
		f.ServicePrefix = t.Service.Text
	}
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

// ofTeam leaves those topics that the team owns by their policy; of all, if none
// were named.
func (e *Engine) ofTeam(c *catalog, who policy.Principal, team string, named bool, f *index.Filter) {
	owns := func(topic string) bool { return e.options.Policy.Of(topic).Team.Value == team }
	if named {
		f.Topics = slices.DeleteFunc(f.Topics, func(at index.Incarnation) bool { return !owns(at.Topic) })
		return
	}
	for name := range c.newest {
		if at, ok := c.incarnation(who, name, nil); ok && owns(name) {
			f.Topics = append(f.Topics, at)
		}
	}
}
