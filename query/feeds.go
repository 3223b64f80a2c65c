package query

import (
	"context"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
)

// feeds is which topics feed which, as declared edges have shown.
type feeds struct {
	parents  map[string]map[string]bool       // of a child's topic
	types    map[topicType]map[topicType]bool // of a child's topic and type
	newest   map[topicType]int64              // record time of the last segment in which a child of it declared a parent
	upstream map[[2]string]bool               // what isUpstream found out; of a trace's own topology only
	beside   map[[2]string]bool               // what areBeside found out, likewise
}

// feedsAge is how old a topology may be.
const feedsAge = 30 * time.Second

type knownFeeds struct {
	mu   sync.Mutex
	at   time.Time
	last *feeds
}

// topology gives what feeds what, over all topics: it only chooses between
// records that the principal sees anyhow.
func (e *Engine) topology(ctx context.Context) (*feeds, error) {
	k := &e.feeds
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last != nil && time.Since(k.at) < feedsAge {
		return k.last, nil
	}
	list, err := e.options.Index.Topology(index.WithTurn(ctx, index.Shared)) // whoever asked: all wait for it
	if err != nil {
		return nil, err
	}
	next := &feeds{
		parents: map[string]map[string]bool{}, types: map[topicType]map[topicType]bool{}, newest: map[topicType]int64{},
	}
	for _, f := range list {
		next.add(f.ParentTopic, f.ChildTopic)
		child := topicType{f.ChildTopic, f.ChildType}
		if next.types[child] == nil {
			next.types[child] = map[topicType]bool{}
		}
		next.types[child][topicType{f.ParentTopic, f.ParentType}] = true
		next.newest[child] = max(next.newest[child], f.Newest)
	}
	k.at, k.last = time.Now(), next
	return next, nil
}

func (f *feeds) add(parent, child string) {
	if parent == child {
		return
	}
	if f.parents[child] == nil {
		f.parents[child] = map[string]bool{}
	}
	f.parents[child][parent] = true
}

// with gives the topology with a trace's own declared edges added.
func (f *feeds) with(g *graph) *feeds {
	own := &feeds{
		parents: make(map[string]map[string]bool, len(f.parents)), types: f.types, newest: f.newest,
		upstream: map[[2]string]bool{}, beside: map[[2]string]bool{},
	}
	for child, parents := range f.parents {
		for parent := range parents {
			own.add(parent, child)
		}
	}
	for i := range g.edges {
		if edge := &g.edges[i]; edge.Parent >= 0 && !isCopy(&g.hits[edge.Child]) {
			own.add(g.hits[edge.Parent].Topic, g.hits[edge.Child].Topic)
		}
	}
	return own
}

// areBeside tells whether events of two topics come together: a third topic's
// name both as parents. Then they are no steps of one another, unless one says so.
func (f *feeds) areBeside(a, b string) bool {
	key := [2]string{a, b}
	are, ok := f.beside[key]
	if !ok {
		for _, parents := range f.parents {
			are = are || parents[a] && parents[b]
		}
		f.beside[key] = are
	}
	return are
}

// isUpstream tells whether events of a topic flow, over any hops, into another.
func (f *feeds) isUpstream(topic, of string) bool {
	key := [2]string{topic, of}
	is, ok := f.upstream[key]
	if !ok {
		is = f.leadsTo(topic, of)
		f.upstream[key] = is
	}
	return is
}

func (f *feeds) leadsTo(topic, of string) bool {
	seen := map[string]bool{of: true}
	queue := []string{of}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for parent := range f.parents[at] {
			if parent == topic {
				return true
			}
			if !seen[parent] {
				seen[parent] = true
				queue = append(queue, parent)
			}
		}
	}
	return false
}
