package replay

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/filter"
	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// mostPicked bounds the offsets that a plan can name one by one.
const mostPicked = 5_000_000

// sieve asks records what a plan's filter and its range of event times want to know.
// It is used by many goroutines. The nil sieve keeps everything.
type sieve struct {
	filter *filter.Filter // nil: none
	from   *int64         // event times
	to     *int64
	rules  *extract.Rules
	skips  bool
	picked atomic.Int64 // offsets that the plan must name

	mu     sync.Mutex
	topics map[string]*answer.ReplayUntold // by topic: those of which the filter cannot tell
	noTime map[string]*answer.ReplayUntold // those without an event time
}

// sieveOf compiles a selection's filter; nil if records need not be asked.
func (s *Service) sieveOf(selected *selection) (*sieve, error) {
	if !selected.isSieved() {
		return nil, nil //nolint:nilnil // everything is kept
	}
	out := &sieve{
		from: selected.EventFrom, to: selected.EventTo, rules: s.options.Extract, skips: selected.FilterErrors == answer.FilterSkip,
		topics: map[string]*answer.ReplayUntold{}, noTime: map[string]*answer.ReplayUntold{},
	}
	if selected.Filter == "" {
		return out, nil
	}
	var err error
	if out.filter, err = filter.Compile(selected.Filter); err != nil {
		return nil, schema.InvalidField("filter", "filter: %w", err)
	}
	return out, nil
}

// mayFilter refuses keys, and a filter, that look into what policy or a contract
// withholds of a topic: whoever may not see a value does not learn it by counting.
func (r *resolver) mayFilter() error {
	if r.doc.Selection.Keys != nil {
		for i := range r.doc.Topics {
			if topic := r.doc.Topics[i].Source; r.service.options.Policy.Of(topic).HidesKey() {
				return schema.WithHint(schema.Errorf(schema.Permission, "keys: of %s the key is withheld by its policy, so records are not chosen by it", topic),
					"select the topic apart and without keys")
			}
		}
	}
	if r.sieve == nil || r.sieve.filter == nil {
		return nil
	}
	looks := func(names ...string) (used []string) {
		for _, name := range names {
			if r.sieve.filter.Uses(name) {
				used = append(used, name)
			}
		}
		return used
	}
	for i := range r.doc.Topics {
		topic := r.doc.Topics[i].Source
		p, why := r.service.options.Policy.Of(topic), ""
		var used []string
		if p.Restricts() {
			used, why = looks(filter.Key, filter.Headers, filter.HeaderList, filter.Value), "its policy"
		} else if r.service.options.Contracts.HasSensitive() && r.service.options.Contracts.SensitiveTopic(topic) != nil {
			used, why = looks(filter.Value), "a contract"
		}
		if used != nil {
			return schema.WithHint(schema.Errorf(schema.Permission, "filter: of %s something is withheld by %s, so a filter may not look into %s", topic, why, strings.Join(used, ", ")),
				"filter by what was extracted, such as eventType or service, or select the topic apart and without the filter")
		}
	}
	return nil
}

// columns are those that records are asked for.
func (s *sieve) columns() (columns segment.Columns) {
	if s == nil {
		return 0
	}
	if s.from != nil || s.to != nil {
		columns |= segment.Extracted
	}
	if s.filter != nil {
		columns |= s.filter.Columns()
	}
	return columns
}

// asksStage tells whether the filter looks at stages.
func (s *sieve) asksStage() bool { return s != nil && s.filter != nil && s.filter.Uses("stage") }

// timely tells whether a row's event time is in the range; one without is counted.
func (s *sieve) timely(row *segment.Row) bool {
	switch {
	case s.from == nil && s.to == nil:
		return true
	case !row.X.HasEventTime:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.noTime[row.Topic] == nil {
			s.noTime[row.Topic] = &answer.ReplayUntold{Source: row.Topic}
		}
		s.noTime[row.Topic].Records++
		return false
	}
	return (s.from == nil || row.X.EventTime >= *s.from) && (s.to == nil || row.X.EventTime < *s.to)
}

// chooses tells what the filter says of a row; what it cannot tell is noted. The
// error is one that ends the planning.
func (s *sieve) chooses(row *segment.Row) (bool, error) {
	if s.filter == nil {
		return true, nil
	}
	chosen, err := s.filter.Match(row, func() (any, error) { return s.document(row) })
	switch {
	case errors.Is(err, filter.ErrCost):
		return false, schema.WithHint(schema.InvalidField("filter", "%s/%d offset %d: %w", row.Topic, row.Partition, row.Offset, err),
			"loop over less, or narrow the selection by what costs nothing, such as types and times")
	case schema.KindOf(err) == schema.Unavailable:
		return false, fmt.Errorf("filter: %s/%d offset %d: %w", row.Topic, row.Partition, row.Offset, err)
	case err != nil:
		s.note(row, err)
	}
	return chosen, nil
}

// pick is the filter's choice of one segment's rows, which are asked for in order.
type pick struct {
	*sieve
	named bool    // the rows are named by offset before the filter chooses
	left  bool    // a row was left out behind one that was kept
	holes bool    // and one was kept behind that
	kept  []int64 // offsets
}

// pick begins a segment; nil if everything is kept.
func (s *sieve) pick(p *segmentPlan) *pick {
	if s == nil {
		return nil
	}
	return &pick{sieve: s, named: p.Offsets != nil}
}

// keeps tells whether a row is chosen. The error is one that ends the planning.
func (p *pick) keeps(row *segment.Row) (bool, error) {
	if p == nil {
		return true, nil
	}
	chosen := p.timely(row)
	if chosen {
		var err error
		if chosen, err = p.chooses(row); err != nil {
			return false, err
		}
	}
	if !chosen {
		p.left = p.left || len(p.kept) > 0
		return false, nil
	}
	p.holes = p.holes || p.left
	if p.picked.Add(1) > mostPicked && p.holes {
		return false, schema.WithHint(schema.Errorf(schema.Exhausted, "the filter chooses more than %d records one by one", mostPicked),
			"narrow the time range, name fewer topics, or let the filter choose fewer records")
	}
	p.kept = append(p.kept, row.Offset)
	return true, nil
}

// offsets are what the plan must name: nothing where every row between the first and
// the last that the filter chose was chosen.
func (p *pick) offsets() []int64 {
	if p.named || p.holes {
		return p.kept
	}
	p.picked.Add(-int64(len(p.kept)))
	return nil
}

// document decodes a row's payload. Unavailable: it may be known later.
func (s *sieve) document(row *segment.Row) (any, error) {
	text, code := s.rules.Document(&row.Record)
	switch code {
	case "":
	case extract.SchemaUnavailable:
		return nil, schema.WithHint(schema.Errorf(schema.Unavailable, "the schema of its payload could not be looked up"), "see that the schema registry answers, and plan again")
	default:
		return nil, errors.New(code)
	}
	doc, format, err := payload.Decode(text)
	if err == nil && format == payload.Opaque {
		err = errOpaque
	}
	return doc, err
}

var errOpaque = errors.New("its payload is neither JSON nor names a schema that is known here")

// maxReason bounds a reason in the list.
const maxReason = 200

// note counts a record of which the filter cannot tell. The first of a topic, by
// partition and offset, are named, in whatever order segments are read.
func (s *sieve) note(row *segment.Row, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.topics[row.Topic]
	if of == nil {
		of = &answer.ReplayUntold{Source: row.Topic}
		s.topics[row.Topic] = of
	}
	of.Records++
	one := answer.ReplayUntoldRecord{Partition: row.Partition, Offset: row.Offset, Reason: strings.ToValidUTF8(fmt.Sprintf("%.*s", maxReason, err), "")}
	at, _ := slices.BinarySearchFunc(of.First, one, func(a, b answer.ReplayUntoldRecord) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	if at < mostNamed {
		of.First = slices.Insert(of.First, at, one)
		of.First = of.First[:min(len(of.First), mostNamed)]
	}
}

// untold are the topics with records of which the filter could not tell, by name.
func (s *sieve) untold() []answer.ReplayUntold {
	if s == nil {
		return nil
	}
	return byTopic(s.topics)
}

// undated are the topics with records that were asked for their event time and have
// none.
func (s *sieve) undated() []answer.ReplayUntold {
	if s == nil {
		return nil
	}
	return byTopic(s.noTime)
}

func byTopic(topics map[string]*answer.ReplayUntold) (list []answer.ReplayUntold) {
	for _, of := range topics {
		list = append(list, *of)
	}
	slices.SortFunc(list, func(a, b answer.ReplayUntold) int { return strings.Compare(a.Source, b.Source) })
	return list
}

// err refuses them, unless they are to be left out: how many, which, and why.
func (s *sieve) err() error {
	list := s.untold()
	if len(list) == 0 || s.skips {
		return nil
	}
	var parts []string
	for _, of := range list {
		var named []string
		for _, one := range of.First {
			named = append(named, fmt.Sprintf("partition %d offset %d (%s)", one.Partition, one.Offset, one.Reason))
		}
		if more := of.Records - int64(len(of.First)); more > 0 {
			named = append(named, fmt.Sprintf("and %d more", more))
		}
		parts = append(parts, fmt.Sprintf("%d records of %s: %s", of.Records, of.Source, strings.Join(named, ", ")))
	}
	return schema.WithHint(schema.Errorf(schema.Conflict, "the filter cannot tell of %s", strings.Join(parts, "; ")),
		"ask first whether a field is there, has(value.x) && …, or choose filter_errors skip, which leaves these records out and lists them")
}
