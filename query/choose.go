package query

import (
	"bytes"
	"slices"

	"github.com/fx-risk-ai/annals/schema"
)

// way is one way to tell which of a hop's candidates are its parents.
type way uint8

// The ways, the preferred first where several do equally well. Those from
// waySameKey on read payloads.
const (
	wayAll way = iota
	wayRank
	wayLatest
	waySameKeys
	waySameKey
	wayShared
	ways
)

// wayRules are what an edge says of the way that it was found.
var wayRules = [ways]string{
	wayAll:      "all events of the type in the trace",
	wayRank:     "same place in a partition that runs in parallel",
	wayLatest:   "latest earlier event of the trace",
	waySameKeys: "all of the same key in the trace",
	waySameKey:  "same key in the trace",
	wayShared:   "shares an id with it",
}

func (w way) reads() bool { return w >= waySameKeys }

// choose gives which of a hop's candidates are its parents by one way. They are
// of one topic, the newest last.
func (g *graph) choose(w way, child int, candidates []int, lanes map[schema.StreamKey][]int) []int {
	if len(candidates) == 0 {
		return nil
	}
	switch w {
	case wayAll:
		return candidates
	case wayLatest:
		return candidates[len(candidates)-1:]
	case wayRank:
		if parent := g.sameRank(child, candidates, lanes); parent >= 0 {
			return []int{parent}
		}
	case waySameKeys:
		return g.sameKey(child, candidates)
	case waySameKey:
		if same := g.sameKey(child, candidates); len(same) > 0 {
			return same[len(same)-1:]
		}
	case wayShared:
		return g.sharing(child, candidates)
	}
	return nil
}

// lanes are the hops in each stream, by offset.
func (g *graph) lanes() map[schema.StreamKey][]int {
	lanes := map[schema.StreamKey][]int{}
	for i := range g.hits {
		key := schema.StreamKey{TopicID: g.hits[i].TopicID, Partition: g.hits[i].Partition}
		lanes[key] = append(lanes[key], i)
	}
	for _, list := range lanes {
		slices.SortFunc(list, func(a, b int) int {
			return int(max(-1, min(1, g.hits[a].Offset-g.hits[b].Offset)))
		})
	}
	return lanes
}

// sameRank gives the candidate that has the child's rank in the partition of
// the same number: if both topics have as many partitions, and the trace as
// many records in both, then their keys were spread alike and their order was
// kept. -1 if that cannot be said.
func (g *graph) sameRank(child int, candidates []int, lanes map[schema.StreamKey][]int) int {
	h := &g.hits[child]
	parents := g.hits[candidates[len(candidates)-1]].TopicID
	if g.catalog.parts[parents] != g.catalog.parts[h.TopicID] || g.catalog.parts[parents] == 0 {
		return -1
	}
	own, theirs := lanes[schema.StreamKey{TopicID: h.TopicID, Partition: h.Partition}], lanes[schema.StreamKey{TopicID: parents, Partition: h.Partition}]
	rank := slices.Index(own, child)
	if len(own) != len(theirs) || rank < 0 || !slices.Contains(candidates, theirs[rank]) {
		return -1
	}
	return theirs[rank]
}

// read gives what was read of a hop to infer by, or nil.
func (g *graph) read(hop int) *content {
	for _, from := range []map[schema.Position]*content{g.bytes, g.evidence} {
		if c := from[g.hits[hop].Position]; c != nil && c.err == nil && c.record != nil {
			return c
		}
	}
	return nil
}

// sameKey gives the candidates with the child's key. Null keys say nothing, and
// what is withheld is null.
func (g *graph) sameKey(child int, candidates []int) []int {
	own := g.read(child)
	if own == nil || own.record.Key == nil {
		return nil
	}
	var same []int
	for _, i := range candidates {
		if c := g.read(i); c != nil && c.record.Key != nil && bytes.Equal(c.record.Key, own.record.Key) {
			same = append(same, i)
		}
	}
	return same
}

// sharing gives the candidates that have the most in common with the child of
// what looks like ids, where an id counts the less the more of them have it. One
// that all have tells none apart.
func (g *graph) sharing(child int, candidates []int) []int {
	own := g.idsOf(child)
	if len(own) == 0 {
		return nil
	}
	bearers := map[string]int{}
	for _, i := range candidates {
		for id := range g.idsOf(i) {
			if own[id] {
				bearers[id]++
			}
		}
	}
	best, most := []int(nil), 0.0
	for _, i := range candidates {
		score := 0.0
		for id := range g.idsOf(i) {
			if n := bearers[id]; n == 1 || n > 0 && n < len(candidates) {
				score += 1 / float64(n)
			}
		}
		switch {
		case score == 0 || score < most-sameScore:
		case score > most+sameScore:
			best, most = []int{i}, score
		default:
			best = append(best, i)
		}
	}
	return best
}

// sameScore is what two sums of the same fractions may differ by.
const sameScore = 1e-9

// idsOf gives what looks like ids in a hop's key and value, each once.
func (g *graph) idsOf(hop int) map[string]bool {
	if ids, ok := g.ids[hop]; ok {
		return ids
	}
	var ids map[string]bool
	if c := g.read(hop); c != nil {
		ids = businessIDs(c.record)
	}
	if g.ids == nil {
		g.ids = map[int]map[string]bool{}
	}
	g.ids[hop] = ids
	return ids
}
