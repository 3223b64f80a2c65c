package extract

import (
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// Options changes the rules for some topics. The zero value is the built-in
// rules for all.
type Options struct {
	Topics []TopicRule // at most 1,000; the first whose Topic matches counts

	// Policy says what may be read of a topic's records; nil: everything.
	Policy *policy.Rules

	// Contracts are what producers promised; a rule that a record breaks is among
	// its errors. Nil: none.
	Contracts *contract.Registry

	// Decoder reads payloads that name a schema; nil: only those that are JSON
	// text are read, whatever schema they name.
	Decoder Decoder
}

const maxTopicRules = 1000

// Rules extracts. Make one with New and share it: it is safe for concurrent use.
type Rules struct {
	overrides []*override
	exact     map[string]int     // index into overrides, of names without wildcards
	matched   sync.Map           // topic → *override
	readings  sync.Pool          // of *reading, to keep their memory
	decoder   Decoder            // nil: none
	policy    *policy.Rules      // nil: nothing is withheld
	contracts *contract.Registry // nil: none
}

// New checks the options. Its errors are of kind schema.Invalid and name the
// field at fault.
func New(options Options) (*Rules, error) {
	if len(options.Topics) > maxTopicRules {
		return nil, schema.InvalidField("topics", "read topic rules: %d of them, at most %d", len(options.Topics), maxTopicRules)
	}
	rules := &Rules{exact: make(map[string]int), decoder: options.Decoder, policy: options.Policy, contracts: options.Contracts}
	for i, topic := range options.Topics {
		o, err := topic.parse()
		if err != nil {
			return nil, err
		}
		rules.overrides = append(rules.overrides, o)
		if _, ok := rules.exact[topic.Topic]; !ok && !strings.ContainsAny(topic.Topic, `*?[\`) {
			rules.exact[topic.Topic] = i
		}
	}
	return rules, nil
}

// Extract reads the record into an extraction, which it resets first. It never
// fails: what is wrong is named in into.Errors. A transaction marker has
// nothing to extract. What the topic's policy withholds is not read, so that it
// is in no id, field or error.
func (rules *Rules) Extract(rec *schema.Record, into *schema.Extraction) {
	into.Reset()
	if rec.Status == schema.Control {
		return
	}
	r, ok := rules.readings.Get().(*reading)
	if !ok {
		r = new(reading)
	}
	defer func() {
		r.reset()
		rules.readings.Put(r)
	}()
	r.into = into
	o, p := rules.overrideOf(rec.Topic), rules.policy.Of(rec.Topic)
	if p.IDs.Value == policy.IDsNone {
		return
	}
	rules.read(r, rec, o, p, nil)
	if rules.contracts != nil {
		rules.hold(r, rec, o, p)
	}
}

// read takes what the policy lets be read, and of the payload nothing that
// stands at the paths.
func (rules *Rules) read(r *reading, rec *schema.Record, o *override, p *policy.Topic, paths policy.Paths) {
	into := r.into
	r.paths = append(slices.Clip(p.Paths()), paths...)
	rules.readHeaders(r, rec, o, p)
	if !r.unframed {
		into.SchemaID, into.HasSchemaID = frameID(rec.Value)
	}
	switch {
	case p.IDs.Value == policy.IDsHeaders:
	case rules.decoder != nil && (into.HasSchemaID || r.unframed):
		r.decode(rules.decoder, rec.Value, o)
	case !r.complete() || o != nil && len(o.pointers) > 0:
		r.readPayload(rec.Value, o)
	}
	if p.MayReadKey() {
		r.identifyText(schema.IDKey, rec.Key)
	}
	r.finish()
	if o != nil && o.contract {
		o.demand(into)
	}
}

func (rules *Rules) readHeaders(r *reading, rec *schema.Record, o *override, p *policy.Topic) {
	headers := rec.Headers
	if len(headers) > MaxHeaders {
		headers = headers[:MaxHeaders]
		addError(r.into, HeadersTruncated)
	}
	// Several parents are as many headers of one name, one behind the other.
	var (
		last  string
		m     meaning
		known bool
	)
	for i := range headers {
		h := &headers[i]
		if p.PersonalHeader(h.Name) {
			continue
		}
		if p.IndexedHeader(h.Name) {
			r.identifyText(schema.IDHeader, h.Value)
		}
		if o != nil && o.readHeader(r, h.Name, h.Value) {
			continue
		}
		if i == 0 || h.Name != last {
			last = h.Name
			m, known = meaningOf(last, inHeader)
		}
		if known {
			r.take(m, h.Value)
		}
	}
}

// overrideOf finds the first rule for a topic, nil if none.
func (rules *Rules) overrideOf(topic string) *override {
	if len(rules.overrides) == 0 {
		return nil
	}
	if o, ok := rules.matched.Load(topic); ok {
		return o.(*override)
	}
	last, ok := rules.exact[topic]
	if !ok {
		last = len(rules.overrides)
	}
	var found *override
	for i, o := range rules.overrides {
		if i == last {
			found = o
			break
		}
		if match, err := path.Match(o.pattern, topic); err == nil && match {
			found = o
			break
		}
	}
	rules.matched.Store(topic, found)
	return found
}
