package query

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/fx-risk-ai/annals/internal/index"
)

// oldestFirst is the order of a graph's hits, as index.Trace gives them.
func oldestFirst(a, b index.Hit) int {
	return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), slices.Compare(a.TopicID[:], b.TopicID[:]),
		cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}

// causalOrder gives the hops so that parents come before children, and
// otherwise by time; and each hop's depth, its longest way from a root. Where
// edges run in a circle, which no honest producers write, time decides and the
// edge that leads back counts for no depth.
func (g *graph) causalOrder() (order, depth []int) {
	children := make([][]int, len(g.hits))
	waiting := make([]int, len(g.hits))
	for _, edge := range g.edges {
		if edge.Parent >= 0 {
			children[edge.Parent] = append(children[edge.Parent], edge.Child)
			waiting[edge.Child]++
		}
	}
	ready := &readyHops{hits: g.hits}
	for i := range g.hits {
		if waiting[i] == 0 {
			ready.list = append(ready.list, i)
		}
	}
	heap.Init(ready)
	depth = make([]int, len(g.hits))
	done := make([]bool, len(g.hits))
	oldest := 0 // hits are in the order of time: all before it are done
	for len(order) < len(g.hits) {
		if ready.Len() == 0 {
			for done[oldest] {
				oldest++
			}
			heap.Push(ready, oldest)
		}
		hop, _ := heap.Pop(ready).(int) // only ints are pushed
		if done[hop] {
			continue
		}
		done[hop] = true
		order = append(order, hop)
		for _, child := range children[hop] {
			if done[child] {
				continue
			}
			depth[child] = max(depth[child], depth[hop]+1)
			if waiting[child]--; waiting[child] == 0 {
				heap.Push(ready, child)
			}
		}
	}
	return order, depth
}

// readyHops is a heap of hops whose parents are done, the earliest first.
type readyHops struct {
	hits []index.Hit
	list []int
}

func (r *readyHops) Len() int      { return len(r.list) }
func (r *readyHops) Swap(i, j int) { r.list[i], r.list[j] = r.list[j], r.list[i] }
func (r *readyHops) Push(hop any)  { r.list = append(r.list, hop.(int)) }

func (r *readyHops) Pop() any {
	last := r.list[len(r.list)-1]
	r.list = r.list[:len(r.list)-1]
	return last
}

func (r *readyHops) Less(i, j int) bool {
	a, b := &r.hits[r.list[i]], &r.hits[r.list[j]]
	if a.Timestamp == b.Timestamp && a.HasEventTime && b.HasEventTime && a.EventTime != b.EventTime {
		return a.EventTime < b.EventTime
	}
	return cmp.Or(
		cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.Topic, b.Topic),
		cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset), cmp.Compare(r.list[i], r.list[j])) < 0
}
