package query

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Violations counts what sealed records of the principal's topics break, by
// topic, type, version, producer and rule; a limit of 0 is DefaultPage. Times
// count whole segments.
func (e *Engine) Violations(ctx context.Context, who policy.Principal, request answer.ViolationRequest) (*answer.Violations, error) {
	if err := bound(&request.Limit, DefaultPage, MaxPage); err != nil {
		return nil, err
	}
	f := index.ViolationFilter{Topic: request.Topic, EventType: request.EventType, Service: request.Service, Rule: request.Rule}
	f.From, f.To = milliOf(request.From), milliOf(request.To)
	c, err := e.catalog(ctx)
	if err != nil {
		return nil, err
	}
	found, more, err := e.options.Index.Violations(ctx, f, c.scope(who), request.Limit)
	if err != nil {
		return nil, err
	}
	all := &answer.Violations{More: more}
	for _, v := range found {
		team, _ := e.team(v.EventType, []string{v.Topic})
		all.Groups = append(all.Groups, answer.Violation{
			Topic: v.Topic, EventType: v.EventType, EventVersion: v.EventVersion, Service: v.Service, Rule: v.Rule, Team: team,
			Records: v.Records, First: v.First, Last: v.Last,
			Newest: answer.Place{Topic: v.Topic, TopicID: v.TopicID, Partition: v.Partition, Branch: v.Branch, Offset: v.Offset},
		})
	}
	return all, nil
}

// team gives who owns a type, and who says so: its newest contract, else its
// topics' policies.
func (e *Engine) team(eventType string, topics []string) (team, by string) {
	for _, c := range slices.Backward(e.options.Contracts.Of(eventType)) {
		if c.Team != "" {
			return c.Team, c.File
		}
	}
	var teams, says []string
	for _, topic := range topics {
		if held := e.options.Policy.Of(topic).Team; held.By != "" && !slices.Contains(teams, held.Value) {
			teams, says = append(teams, held.Value), append(says, held.By)
		}
	}
	return strings.Join(teams, ", "), strings.Join(says, ", ")
}

// Bounds of a contract's check.
const (
	DefaultCheckDays  = 30
	MaxCheckDays      = 36_500
	DefaultCheckLimit = 1000
	MaxCheckLimit     = index.MaxSample
	checkedAtOnce     = 500
)

// CheckContract holds a contract to the archived events of its type (of its version
// too, where that is registered) that the principal may see: to all of the days, or,
// where they are more than the limit, to so many at random. It compares the contract
// with the registered one. What policy masks is not looked at.
// Invalid for what is no contract.
func (e *Engine) CheckContract(ctx context.Context, who policy.Principal, request answer.ContractCheckRequest) (*answer.ContractCheck, error) {
	request.Days, request.Limit = cmp.Or(request.Days, DefaultCheckDays), cmp.Or(request.Limit, DefaultCheckLimit)
	if request.Days < 1 || request.Days > MaxCheckDays {
		return nil, schema.InvalidField("days", "days %d: want 1 to %d", request.Days, MaxCheckDays)
	}
	if request.Limit < 1 || request.Limit > MaxCheckLimit {
		return nil, schema.InvalidField("limit", "limit %d: want 1 to %d", request.Limit, MaxCheckLimit)
	}
	next, err := contract.Parse(cmp.Or(request.Name, "contract"), []byte(request.Text), func(name string) ([]byte, error) {
		text, ok := request.Schemas[name]
		if !ok {
			return nil, schema.Errorf(schema.Invalid, "it was not sent along")
		}
		return []byte(text), nil
	})
	if err != nil {
		return nil, schema.InvalidField("contract", "%w", err)
	}
	out := &answer.ContractCheck{Type: next.Type, Version: next.Version, From: time.Now().UTC().AddDate(0, 0, -request.Days)}
	c, err := e.catalog(ctx)
	if err != nil {
		return nil, err
	}
	known, err := e.knownTo(ctx, c, who, next.Type)
	if err != nil {
		return nil, err
	}
	out.OwnVersion = compareRegistered(known, next, out)
	from := milliOf(out.From)
	k := checking{engine: e, catalog: c, contract: next, out: out, rules: map[string]int64{}}
	filter := index.Filter{EventType: next.Type, From: from}
	// What is registered is held to its own events: a newer version's are not its.
	if out.OwnVersion {
		filter.Version = next.Version
	}
	switch out.Matching, err = e.options.Index.Count(ctx, filter, c.scope(who)); {
	case schema.KindOf(err) == schema.Exhausted:
		out.Matching = -1
	case err != nil:
		return nil, err
	}
	if err := k.events(ctx, filter, c.scope(who), request.Limit); err != nil {
		return nil, err
	}
	k.conclude()
	return out, nil
}

// knownTo gives the registered versions of a type that the principal may know
// of: of one that names no topics, those whose events may be seen.
func (e *Engine) knownTo(ctx context.Context, c *catalog, who policy.Principal, eventType string) ([]*contract.Contract, error) {
	var known []*contract.Contract
	events := -1 // that may be seen, one at most; not asked for yet
	for _, one := range e.options.Contracts.Of(eventType) {
		may := seen(one, who)
		if !may && len(one.Topics) == 0 {
			if events < 0 {
				hits, _, err := e.options.Index.Search(ctx, index.Filter{EventType: eventType}, c.scope(who), 1)
				if err != nil {
					return nil, err
				}
				events = len(hits)
			}
			may = events > 0
		}
		if may {
			known = append(known, one)
		}
	}
	return known, nil
}

// compareRegistered says how a contract evolves from the registered one of its
// version, else from the last of its type, and whether its version is registered.
func compareRegistered(known []*contract.Contract, next *contract.Contract, out *answer.ContractCheck) (own bool) {
	out.Evolution = "new"
	if len(known) == 0 {
		return false
	}
	before := known[len(known)-1]
	if at := slices.IndexFunc(known, func(c *contract.Contract) bool { return c.Version == next.Version }); at >= 0 {
		before, own = known[at], true
	}
	out.Against = before.Version
	evolution, differences := contract.Compare(before, next)
	out.Evolution = string(evolution)
	for _, d := range differences {
		out.Differences = append(out.Differences, answer.ContractDifference{Path: d.Path, Change: d.Change, Events: d.Events, Consumers: d.Consumers})
	}
	return own
}

// checking is one check of a contract.
type checking struct {
	engine   *Engine
	catalog  *catalog
	contract *contract.Contract
	out      *answer.ContractCheck
	rules    map[string]int64
}

// events looks at all events, or at a sample if they are more than the limit. If
// they are too many to take one in time, it looks at the newest.
func (k *checking) events(ctx context.Context, filter index.Filter, scope index.Scope, limit int) error {
	if k.out.Matching >= 0 && k.out.Matching <= int64(limit) {
		k.out.Sample = answer.SampleAll
		return k.newest(ctx, filter, scope, limit)
	}
	hits, err := k.engine.options.Index.Sample(ctx, filter, scope, limit)
	if schema.KindOf(err) == schema.Exhausted {
		k.out.Sample = answer.SampleNewest
		return k.newest(ctx, filter, scope, limit)
	}
	if err != nil {
		return err
	}
	k.out.Sample = answer.SampleRandom
	if hits, err = k.engine.counting(ctx, k.catalog, hits); err != nil {
		return err
	}
	for some := range slices.Chunk(hits, checkedAtOnce) {
		k.look(ctx, some)
	}
	return ctx.Err()
}

// newest looks at events, the newest first, some at a time, until there are no
// more, or limit were looked at or could not be.
func (k *checking) newest(ctx context.Context, filter index.Filter, scope index.Scope, limit int) error {
	for limit > 0 {
		hits, more, err := k.engine.options.Index.Search(ctx, filter, scope, min(limit, checkedAtOnce))
		if err != nil || len(hits) == 0 {
			return err
		}
		mark := hits[len(hits)-1].Mark()
		filter.After = &mark
		hits, err = k.engine.counting(ctx, k.catalog, hits)
		if err != nil {
			return err
		}
		limit -= len(hits)
		k.look(ctx, hits)
		if !more {
			return nil
		}
	}
	return nil
}

// look reads some events and holds each to the contract.
func (k *checking) look(ctx context.Context, hits []index.Hit) {
	read := k.engine.contents(ctx, k.catalog, hits, segment.All)
	for i := range hits {
		k.event(&hits[i], read[hits[i].Position])
	}
}

// event holds one event to the contract.
func (k *checking) event(h *index.Hit, c *content) {
	p := k.engine.options.Policy.Of(h.Topic)
	switch {
	case p.Secret.Value:
		k.out.Withheld++
		return
	case c == nil || c.err != nil || c.raw == nil:
		k.out.Unread++
		return
	}
	var x schema.Extraction
	k.engine.options.Extract.Extract(c.raw, &x)
	e := contract.Event{Record: c.raw, Extraction: &x, Tombstone: c.raw.Value == nil}
	paths := append(slices.Clip(p.Paths()), k.engine.sensitive(c.raw)...)
	if !e.Tombstone {
		text, unread := k.engine.options.Extract.Payload(c.raw)
		if masked, ok := policy.MaskJSON(text, paths, policy.Shown); ok {
			text = masked
		} else if len(paths) > 0 {
			unread = true
		}
		if unread {
			k.out.Unread++
			return
		}
		e.Payload = text
	}
	k.out.Looked++
	if len(paths) > 0 {
		k.out.Masked++
	}
	broken := slices.DeleteFunc(k.contract.Check(e), func(rule string) bool { return paths.Touch(contract.PlaceOf(rule)) })
	if len(broken) == 0 {
		return
	}
	k.out.Broken++
	for _, rule := range broken {
		k.rules[rule]++
	}
	if len(k.out.Events) < answer.MaxBrokenEvents {
		k.out.Events = append(k.out.Events, answer.BrokenEvent{Hit: k.catalog.hit(h), Rules: broken})
	}
}

func (k *checking) conclude() {
	for rule, n := range k.rules {
		k.out.Rules = append(k.out.Rules, answer.RuleCount{Rule: rule, Records: n})
	}
	slices.SortFunc(k.out.Rules, func(a, b answer.RuleCount) int {
		return cmp.Or(cmp.Compare(b.Records, a.Records), strings.Compare(a.Rule, b.Rule))
	})
	switch {
	case k.out.Broken > 0:
		k.out.Verdict = answer.ContractIncompatible
	case k.out.Looked == 0:
		k.out.Verdict = answer.ContractIndeterminate
	default:
		k.out.Verdict = answer.ContractCompatible
	}
}
