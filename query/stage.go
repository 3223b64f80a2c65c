package query

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// stageOf is a hop's stage and the rule that decided it.
type stageOf struct {
	stage schema.Stage
	rule  string
}

// The rules that decide a stage, besides what payloads say in their own words.
const (
	ruleDeclared   = "declared by the producer"
	ruleDeadLetter = "dead-letter headers"
	ruleReplay     = "replay headers"
	ruleName       = "the topic's name"
	rulePolicy     = "the topic's policy"
	ruleRoot       = "no parent"
	ruleTopic      = "as other records of this topic and type"
	ruleUnknown    = "not known: no payload was compared"
)

// topicType is what records do the same to.
type topicType struct{ topic, eventType string }

// Bounds of what is remembered of stages.
const (
	maxKnownStages = 10_000
	stageAge       = 10 * time.Minute
	retryAge       = time.Minute     // until a topic that could not be judged is tried again
	lateAge        = 5 * time.Second // until what took too long is
	maxLearn       = 16              // topics and types looked into by one trace, or one look of a search
	learnFrom      = 100             // records that a search by stage looks at first
	learnHops      = 500             // of a trace from which a search learns
	maxRounds      = 3               // looks of one search, each having learned something
)

// learnPatience is how long one look of a search learns, and stagePatience that of
// one that chooses by stage: what it does not know it does not find.
var learnPatience, stagePatience = time.Second, 3 * time.Second

// knownStages remembers what records of a topic and type do.
type knownStages struct {
	mu    sync.Mutex
	known map[topicType]knownStage
}

type knownStage struct {
	stage schema.Stage
	until time.Time
}

// get gives the stage, and whether it need not be looked into now.
func (k *knownStages) get(t topicType) (schema.Stage, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	have, ok := k.known[t]
	return have.stage, ok && time.Now().Before(have.until)
}

func (k *knownStages) set(t topicType, stage schema.Stage, age time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil || len(k.known) >= maxKnownStages {
		k.known = map[topicType]knownStage{}
	}
	k.known[t] = knownStage{stage, time.Now().Add(age)}
}

// now gives what is known at this moment, also what is to be looked into again:
// a stage is not forgotten before another is known.
func (k *knownStages) now() map[topicType]schema.Stage {
	k.mu.Lock()
	defer k.mu.Unlock()
	known := make(map[topicType]schema.Stage, len(k.known))
	for t, have := range k.known {
		if have.stage != schema.StageUnknown {
			known[t] = have.stage
		}
	}
	return known
}

// stages is what was known at one moment of what topics and types do. It does
// not change.
type stages struct {
	known       map[topicType]schema.Stage
	deadLetters func(topic string) bool // Engine.hasDeadLetters
	failAgain   func(topic string) bool // Engine.failAgain
}

func (e *Engine) stagesNow() stages { return stages{e.stages.now(), e.hasDeadLetters, e.failAgain} }

// of gives a record outside a trace its stage: declared, else that of a dead
// letter topic, else known.
func (s stages) of(topic, eventType string, declared schema.Stage) schema.Stage {
	switch {
	case declared == schema.StageReplay && s.failAgain(topic):
		return schema.StageDeadLetter
	case declared != schema.StageUnknown:
		return declared
	case s.deadLetters(topic):
		return schema.StageDeadLetter
	}
	return s.known[topicType{topic, eventType}] // unknown is zero
}

func (s stages) passes(h *index.Hit, stage schema.Stage) bool {
	return s.of(h.Topic, h.EventType, h.Stage) == stage
}

// choose says to the index what of does: which records without a declared
// stage are of this one, or, for unknown, which are of another.
func (s stages) choose(f *index.StageFilter, c *catalog) {
	f.Topics, f.Types, f.Whole = nil, nil, nil
	f.FailAgain = c.chosen(s.failAgain)
	unknown := f.Stage == schema.StageUnknown
	for t, stage := range s.known {
		if s.deadLetters(t.topic) {
			continue // that says more
		}
		if unknown || stage == f.Stage {
			f.Topics, f.Types = append(f.Topics, t.topic), append(f.Types, t.eventType)
		}
	}
	if unknown || f.Stage == schema.StageDeadLetter {
		f.Whole = c.chosen(s.deadLetters)
	}
}

// name gives a hit outside a trace its stage.
func (e *Engine) name(h *answer.Hit) {
	known, _ := e.stages.get(topicType{h.Topic, h.EventType})
	h.Stage = stages{map[topicType]schema.Stage{{h.Topic, h.EventType}: known}, e.hasDeadLetters, e.failAgain}.of(h.Topic, h.EventType, h.Stage)
}

// hasDeadLetters tells whether all records of a topic are dead letters: if policy
// says so, or, where it says nothing, if it is named so.
func (e *Engine) hasDeadLetters(topic string) bool {
	said := e.options.Policy.Of(topic).DeadLetters
	return said.Value || said.By == "" && isDeadLetterTopic(topic)
}

// failAgain tells whether what replays put back, and what bears their headers therefore,
// is a dead letter in a topic: where all records are, but for the topics of
// the sandbox, whose records are copies.
func (e *Engine) failAgain(topic string) bool {
	return e.hasDeadLetters(topic) && !strings.HasPrefix(topic, cmp.Or(e.options.Sandbox, schema.ReplayTopicPrefix))
}

// isDeadLetterTopic tells whether a topic is named as dead letter topics are:
// the usual suffixes of Spring Kafka, Kafka Connect and convention.
func isDeadLetterTopic(topic string) bool {
	topic = strings.ToLower(topic)
	for _, word := range []string{"dlq", "dlt", "dead-letter", "deadletter", "dead-letters", "deadletters", "dead_letter", "dead_letters"} {
		rest, ok := strings.CutSuffix(topic, word)
		if ok && (rest == "" || strings.HasSuffix(rest, ".") || strings.HasSuffix(rest, "-") || strings.HasSuffix(rest, "_")) {
			return true
		}
	}
	return false
}

// decideStages gives every hop its stage. If payloads were read they say;
// otherwise what other records of the topic and type did, of which one is
// compared the first time.
func (e *Engine) decideStages(ctx context.Context, g *graph) {
	parents := make([][]int, len(g.hits))
	named := make([]bool, len(g.hits))
	for i := range g.edges {
		edge := &g.edges[i]
		named[edge.Child] = true
		if edge.Parent >= 0 {
			parents[edge.Child] = append(parents[edge.Child], edge.Parent)
		}
	}
	if g.bytes == nil {
		e.learnStages(ctx, g, parents)
	}
	g.stages = make([]stageOf, len(g.hits))
	for i := range g.hits {
		h := &g.hits[i]
		g.stages[i] = e.stage(g, i, parents[i], named[i])
		// Somebody who does not see all topics sees roots that are none.
		if g.who.Topics.IsAll() && h.Stage == schema.StageUnknown && g.stages[i].rule == ruleRoot {
			e.stages.set(topicType{h.Topic, h.EventType}, schema.StageIngestion, stageAge)
		}
	}
}

func (e *Engine) stage(g *graph, hop int, parents []int, named bool) stageOf {
	h := &g.hits[hop]
	switch h.Stage {
	case schema.StageUnknown:
	case schema.StageReplay:
		if !e.failAgain(h.Topic) {
			return stageOf{h.Stage, ruleReplay}
		}
	case schema.StageDeadLetter:
		return stageOf{h.Stage, ruleDeadLetter}
	default:
		return stageOf{h.Stage, ruleDeclared}
	}
	switch {
	case !e.hasDeadLetters(h.Topic):
	case e.options.Policy.Of(h.Topic).DeadLetters.Value:
		return stageOf{schema.StageDeadLetter, rulePolicy}
	default:
		return stageOf{schema.StageDeadLetter, ruleName}
	}
	key := topicType{h.Topic, h.EventType}
	if !named {
		return stageOf{schema.StageIngestion, ruleRoot}
	}
	if stage, reason, ok := g.classify(hop, parents); ok {
		if stage != schema.StageUnknown {
			e.stages.set(key, stage, stageAge)
		}
		return stageOf{stage, reason}
	}
	if stage, _ := e.stages.get(key); stage != schema.StageUnknown {
		return stageOf{stage, ruleTopic}
	}
	return stageOf{schema.StageUnknown, ruleUnknown}
}

// classify judges a hop by its payload and those of its parents in the trace;
// false if they were not read.
func (g *graph) classify(hop int, parents []int) (schema.Stage, string, bool) {
	own := g.bytes[g.hits[hop].Position]
	if own == nil || own.err != nil || own.hidesValue() || len(parents) == 0 {
		return schema.StageUnknown, "", false
	}
	var values [][]byte
	for _, parent := range parents[:min(len(parents), maxJoin)] {
		c := g.bytes[g.hits[parent].Position]
		if c == nil || c.err != nil || c.hidesValue() {
			return schema.StageUnknown, "", false
		}
		values = append(values, c.document)
	}
	stage, reason := payload.Classify(values, own.document)
	return stage, "payloads: " + reason, true
}

// maxJoin bounds how many parents' payloads a stage is judged by.
const maxJoin = 64

// learnStages compares one record of each topic and type that nothing is known
// of with its parents. It is a help only: what cannot be read stays unknown
// for a while.
func (e *Engine) learnStages(ctx context.Context, g *graph, parents [][]int) {
	chosen := map[topicType]int{}
	for i := range g.hits {
		h := &g.hits[i]
		key := topicType{h.Topic, h.EventType}
		if h.Stage != schema.StageUnknown || len(parents[i]) == 0 || len(chosen) >= maxLearn {
			continue
		}
		if _, ok := e.stages.get(key); ok {
			continue
		}
		if _, ok := chosen[key]; !ok {
			chosen[key] = i
		}
	}
	if len(chosen) == 0 {
		return
	}
	var wanted []index.Hit
	for _, i := range chosen {
		wanted = append(wanted, g.hits[i])
		for _, parent := range parents[i][:min(len(parents[i]), maxJoin)] {
			wanted = append(wanted, g.hits[parent])
		}
	}
	sample := &graph{hits: g.hits, bytes: e.contents(ctx, g.catalog, wanted, segment.Payload)}
	for key, i := range chosen {
		stage, _, ok := sample.classify(i, parents[i])
		switch {
		case ok && stage != schema.StageUnknown:
			e.stages.set(key, stage, stageAge)
		case ctx.Err() != nil: // it was not looked into for want of time
		default:
			e.stages.set(key, schema.StageUnknown, retryAge)
		}
	}
}

// learn looks into the topics and types of hits whose stage nothing is known
// of, each by the trace of one of them, and tells whether something was
// learned, and of how many there was no time to. Like learnStages it is a help
// only: what cannot be found out in time stays unknown for a while.
func (e *Engine) learn(ctx context.Context, who policy.Principal, hits []index.Hit, patience time.Duration) (learned bool, late int) {
	chosen := map[topicType]string{} // a trace of each
	for i := range hits {
		h := &hits[i]
		key := topicType{h.Topic, h.EventType}
		if h.Stage != schema.StageUnknown || h.TraceID == "" || len(chosen) == maxLearn || e.hasDeadLetters(h.Topic) {
			continue
		}
		if known, ok := e.stages.get(key); ok || known != schema.StageUnknown {
			continue // what is known is looked into again by traces alone
		}
		if _, ok := chosen[key]; !ok {
			chosen[key] = h.TraceID
		}
	}
	if len(chosen) == 0 {
		return false, 0
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	seen := map[string]bool{}
	for key, trace := range chosen {
		before, looked := e.stages.get(key)
		if !looked && !seen[trace] {
			seen[trace] = true
			if _, err := e.Trace(bounded, who, answer.TraceRequest{TraceID: trace, Limit: learnHops}); err != nil {
				e.logger.Debug("stages were not learned", "trace", trace, "err", err)
			}
		}
		after, looked := e.stages.get(key)
		switch {
		case looked:
		case bounded.Err() != nil:
			late++
			e.stages.set(key, after, lateAge)
		default:
			e.stages.set(key, after, retryAge)
		}
		learned = learned || after != before
	}
	return learned, late
}
