package archiver

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// rule decides what a collector deletes; the right one is evidence.verdict.
type rule func(e *evidence, o objstore.Object, base int64) bool

// bucket is a chain with its bucket, in which writers stop for any time
// between any two of their steps: sealers, compactors, collectors and readers.
type bucket struct {
	random  *rand.Rand
	rule    rule
	noClaim bool // the collector does not end claims before it deletes
	now     time.Time
	chain   []ledgerEntry
	objects map[string]objstore.Object
	base    map[string]int64
	claims  map[string]*placedClaim
	ids     int
	actors  []func() bool // each performs its next step; false: it is done
	broken  string
}

type ledgerEntry struct {
	kind       schema.CommitKind
	base, next int64
	branch     int32
	key        string
	replaced   []string
	at         time.Time
}

type placedClaim struct {
	claim
	version  int
	modified time.Time
}

func newBucket(seed uint64, r rule) *bucket {
	return &bucket{
		random: rand.New(rand.NewPCG(seed, 1)), rule: r, now: time.UnixMilli(1_700_000_000_000),
		chain: []ledgerEntry{{kind: schema.KindGenesis}}, objects: map[string]objstore.Object{}, base: map[string]int64{}, claims: map[string]*placedClaim{},
	}
}

func (h *bucket) next() int64 {
	for _, e := range slices.Backward(h.chain) {
		if e.kind.MovesNext() {
			return e.next
		}
	}
	return 0
}

func (h *bucket) branch() int32 { return h.chain[len(h.chain)-1].branch }

// current gives the segments on the newest branch that are in use, by base.
func (h *bucket) current() []ledgerEntry {
	var in []ledgerEntry
	for _, e := range h.chain {
		if e.key != "" {
			in = slices.DeleteFunc(in, func(o ledgerEntry) bool { return slices.Contains(e.replaced, o.key) })
			in = append(in, e)
		}
	}
	return in
}

func (h *bucket) put(key string, base int64) {
	h.objects[key], h.base[key] = objstore.Object{Key: key, Modified: h.now}, base
}

func (h *bucket) commit(e ledgerEntry) {
	e.at = h.now
	h.chain = append(h.chain, e)
}

func (h *bucket) name(what string) string {
	h.ids++
	return fmt.Sprint(what, h.ids)
}

// sealer: PUT, then commit at the seq behind the head that it knew.
func (h *bucket) sealer() func() bool {
	seq, base, branch, key, stage := len(h.chain), h.next(), h.branch(), h.name("segment"), 0
	return func() bool {
		if stage++; stage == 1 {
			h.put(key, base)
			return true
		}
		if seq == len(h.chain) {
			h.commit(ledgerEntry{kind: schema.KindSegment, base: base, next: base + 10, branch: branch, key: key})
			return false
		}
		seq = len(h.chain)
		return h.next() == base && h.branch() == branch
	}
}

// compactor: claim, PUT, commit; a seq lost is another one in the claim first.
func (h *bucket) compactor() func() bool {
	var group []ledgerEntry
	for _, e := range h.current() {
		if e.branch == h.branch() && e.base >= h.forkedAt() {
			group = append(group, e)
		}
	}
	if len(group) < 2 {
		return func() bool { return false }
	}
	var keys []string
	for _, e := range group {
		keys = append(keys, e.key)
	}
	still := func() bool {
		have := h.current()
		for _, k := range keys {
			if !slices.ContainsFunc(have, func(e ledgerEntry) bool { return e.key == k && e.branch == h.branch() }) {
				return false
			}
		}
		return true
	}
	out, id, stage := h.name("joined"), h.name("job"), 0
	mine := &placedClaim{}
	return func() bool {
		stage++
		switch {
		case stage == 1:
			if !still() {
				return false
			}
			*mine = placedClaim{claim: claim{ID: id, State: claimOpen, Output: out, Seq: int64(len(h.chain))}, modified: h.now}
			there := *mine
			h.claims[id] = &there
		case stage == 2:
			h.put(out, group[0].base)
		case int64(len(h.chain)) == mine.Seq:
			h.commit(ledgerEntry{kind: schema.KindCompaction, base: group[0].base, next: group[len(group)-1].next, branch: h.branch(), key: out, replaced: keys})
			return false
		default:
			there := h.claims[id]
			if !still() || there == nil || there.version != mine.version {
				return false
			}
			mine.Seq, mine.version, mine.modified = int64(len(h.chain)), mine.version+1, h.now
			*there = *mine
		}
		return true
	}
}

func (h *bucket) forkedAt() int64 {
	for _, e := range slices.Backward(h.chain) {
		if e.kind == schema.KindDivergence {
			return e.next
		}
	}
	return 0
}

// collector: list, read the chain, end claims, delete one by one.
func (h *bucket) collector() func() bool {
	var listed []objstore.Object
	var claims []placedClaim
	e := &evidence{after: 7 * day}
	stage, at := 0, 0
	return func() bool {
		stage++
		switch {
		case stage == 1:
			for _, c := range h.claims {
				claims = append(claims, *c)
			}
			for _, o := range h.objects {
				listed = append(listed, o)
			}
			slices.SortFunc(listed, func(a, b objstore.Object) int { return compareText(a.Key, b.Key) })
		case stage == 2:
			h.read(e)
			for i := range claims {
				e.claims = append(e.claims, &claims[i].claim)
			}
		case stage == 3:
			for i := range claims {
				c := &claims[i]
				if e.named[c.Output] || !e.over(&c.claim) || !e.old(c.modified) {
					continue
				}
				if there := h.claims[c.ID]; h.noClaim || there != nil && there.version == c.version {
					c.State = claimEnded
					if there != nil && !h.noClaim {
						there.State, there.version = claimEnded, there.version+1
					}
				}
			}
		case at < len(listed):
			o := listed[at]
			at++
			if h.rule(e, o, h.base[o.Key]) {
				delete(h.objects, o.Key)
			}
		default:
			for i := range claims {
				if e.old(claims[i].modified) && (e.named[claims[i].Output] || claims[i].State == claimEnded) {
					delete(h.claims, claims[i].ID)
				}
			}
			return false
		}
		return true
	}
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

func (h *bucket) read(e *evidence) {
	e.now, e.named, e.current, e.replaced = h.now, map[string]bool{}, map[string]bool{}, map[string]time.Time{}
	for _, c := range h.chain {
		if c.key != "" {
			e.named[c.key] = true
		}
		for _, k := range c.replaced {
			e.replaced[k] = c.at
		}
	}
	for _, c := range h.current() {
		e.current[c.key] = true
	}
	e.head = ledger.Head{Commit: &schema.Commit{Seq: int64(len(h.chain) - 1)}, Next: h.next()}
}

// reader looks up where rows are, and reads them within a day.
func (h *bucket) reader() func() bool {
	current := h.current()
	if len(current) == 0 {
		return func() bool { return false }
	}
	e, looked := current[h.random.IntN(len(current))], h.now
	return func() bool {
		if _, there := h.objects[e.key]; !there && h.now.Sub(looked) < MinCollect {
			h.broken = fmt.Sprintf("%s was looked up %s ago and is gone", e.key, h.now.Sub(looked))
		}
		return h.now.Sub(looked) < MinCollect
	}
}

// step lets somebody do one thing, or time pass, and checks what must hold.
func (h *bucket) step() {
	switch n := h.random.IntN(20); {
	case n < 3:
		h.actors = append(h.actors, h.sealer())
	case n < 5:
		h.actors = append(h.actors, h.compactor())
	case n < 7:
		h.actors = append(h.actors, h.collector())
	case n < 8:
		h.actors = append(h.actors, h.reader())
	case n < 9 && h.next() > 0:
		point := h.random.Int64N(h.next()/10+1) * 10
		h.commit(ledgerEntry{kind: schema.KindDivergence, base: point, next: point, branch: h.branch() + 1})
	case n < 11:
		h.now = h.now.Add(time.Duration(h.random.Int64N(int64(10 * day))))
	case len(h.actors) > 0:
		i := h.random.IntN(len(h.actors))
		for range 1 + h.random.IntN(4) {
			if !h.actors[i]() {
				h.actors = slices.Delete(h.actors, i, i+1)
				break
			}
		}
	}
	for _, e := range h.current() {
		if _, there := h.objects[e.key]; !there && h.broken == "" {
			h.broken = fmt.Sprintf("%s, which the chain needs, is gone", e.key)
		}
	}
}

// try runs histories until one breaks, and says how.
func try(histories uint64, r rule, change func(*bucket)) string {
	for seed := range histories {
		h := newBucket(seed, r)
		if change != nil {
			change(h)
		}
		for range 150 {
			if h.step(); h.broken != "" {
				return fmt.Sprintf("history %d: %s", seed, h.broken)
			}
		}
	}
	return ""
}

func theRule(e *evidence, o objstore.Object, base int64) bool { _, ok := e.verdict(o, base); return ok }

// Whoever stops for however long between which steps, nothing that the chain
// needs, or that a reader has looked up, is deleted; and each condition of the
// rule is there for a history that breaks without it.
func TestCollectionTakesNothingThatIsNeeded(t *testing.T) {
	t.Parallel()
	if broken := try(20_000, theRule, nil); broken != "" {
		t.Fatal(broken)
	}
	wrong := map[string]struct {
		rule   rule
		change func(*bucket)
	}{
		"no age": {rule: func(e *evidence, o objstore.Object, base int64) bool {
			anyAge := *e
			anyAge.after = -time.Hour
			return theRule(&anyAge, o, base)
		}},
		"age, and not base": {rule: func(e *evidence, o objstore.Object, _ int64) bool {
			return theRule(e, o, -1)
		}},
		"no jobs": {rule: func(e *evidence, o objstore.Object, base int64) bool {
			without := *e
			without.claims = nil
			return theRule(&without, o, base)
		}},
		"jobs that are only held to be over": {rule: theRule, change: func(h *bucket) { h.noClaim = true }},
		"what was named once": {rule: func(e *evidence, o objstore.Object, base int64) bool {
			forgetful := *e
			forgetful.current = nil
			forgetful.named = nil
			return theRule(&forgetful, o, base)
		}},
	}
	for name, w := range wrong {
		if broken := try(20_000, w.rule, w.change); broken == "" {
			t.Errorf("%s: no history breaks it, so the test would not see it", name)
		} else {
			t.Logf("%s: %s", name, broken)
		}
	}
}

// What can go does go: a rule that keeps everything would hold, too.
func TestCollectionTakesWhatIsOver(t *testing.T) {
	t.Parallel()
	kept := map[string]int{}
	taken := map[string]int{}
	try(2000, func(e *evidence, o objstore.Object, base int64) bool {
		why, ok := e.verdict(o, base)
		if ok {
			taken[why]++
		} else {
			kept[why]++
		}
		return ok
	}, nil)
	if taken[WhyReplaced] == 0 || taken[WhyOrphan] == 0 {
		t.Errorf("taken %v, kept %v", taken, kept)
	}
}
