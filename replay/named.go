package replay

import (
	"maps"
	"slices"
	"sync"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

// mostSchemas bounds those that a plan lists of one topic.
const mostSchemas = 100

// schemasNamed are the schemas that selected records name, by topic. Segments are read
// at the same time.
type schemasNamed struct {
	rules *extract.Rules

	mu     sync.Mutex
	topics map[string]map[string]bool
}

func newSchemasNamed(rules *extract.Rules) *schemasNamed {
	return &schemasNamed{rules: rules, topics: map[string]map[string]bool{}}
}

// add looks at a record whose payload was read.
func (n *schemasNamed) add(r *schema.Record) {
	named, ok := n.rules.Named(r)
	if !ok {
		return
	}
	id := named.ID.String()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.topics[r.Topic] == nil {
		n.topics[r.Topic] = map[string]bool{}
	}
	if len(n.topics[r.Topic]) <= mostSchemas {
		n.topics[r.Topic][id] = true
	}
}

// of lists those of a topic, and tells whether there are more.
func (n *schemasNamed) of(topic string) (ids []string, more bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids = slices.Sorted(maps.Keys(n.topics[topic]))
	return ids[:min(len(ids), mostSchemas)], len(ids) > mostSchemas
}
