package query

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/offsets"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds of a page of gaps.
const (
	DefaultGaps = 100
	MaxGaps     = 1000
)

// Gaps lists gaps of the latest views, the newest found first; a limit of 0 is
// DefaultGaps. What lies below a chain's first offset is the gap that its
// genesis found. Gaps found while somebody turns the pages may be missing on
// later pages, never those that were there before.
func (e *Engine) Gaps(ctx context.Context, who policy.Principal, request answer.GapRequest) (*answer.GapPage, error) {
	if err := bound(&request.Limit, DefaultGaps, MaxGaps); err != nil {
		return nil, err
	}
	if request.Class != "" && !request.Class.Known() {
		return nil, schema.InvalidField("class", "class %q is not one of the gap classes", request.Class)
	}
	after, err := decodeGapCursor(request.Cursor)
	if err != nil {
		return nil, err
	}
	views, err := e.viewsOf(ctx, func(s schema.Stream) bool {
		return who.Topics.Allows(s.Topic) && (request.Topic == "" || s.Topic == request.Topic) &&
			(request.Partition == nil || s.Partition == *request.Partition)
	})
	if err != nil {
		return nil, err
	}
	if request.Topic != "" && len(views) == 0 {
		return nil, schema.Errorf(schema.NotFound, "no topic %q, or no such partition of it, is archived", request.Topic)
	}
	page := &answer.GapPage{}
	for _, f := range finders(views) {
		if after != nil && f.place.compare(after) < 0 {
			continue
		}
		gaps, err := e.gapsOf(ctx, f, request.Class)
		if err != nil {
			return nil, err
		}
		for _, g := range gaps {
			if after != nil && f.place.compare(after) == 0 && g.From >= after.From {
				continue
			}
			if len(page.Gaps) == request.Limit {
				last := page.Gaps[len(page.Gaps)-1]
				page.NextCursor = encodeGapCursor(gapPlace{last.Found, last.TopicID, last.Partition, last.Seq, last.From})
				return page, nil
			}
			page.Gaps = append(page.Gaps, g)
		}
	}
	return page, nil
}

// finder is a commit that found gaps.
type finder struct {
	place  gapPlace
	view   *ledger.View
	commit *schema.Commit
	until  int64
}

// finders are the commits that found gaps, newest first.
func finders(views []*ledger.View) []finder {
	var list []finder
	add := func(v *ledger.View, c *schema.Commit, until int64) {
		list = append(list, finder{gapPlace{c.Written(), c.TopicID, c.Partition, c.Seq, 0}, v, c, until})
	}
	for _, v := range views {
		for _, g := range v.Gapped {
			if g.Until > g.Commit.Base {
				add(v, g.Commit, g.Until)
			}
		}
		if to := offsets.Beginning(v); to > 0 {
			add(v, v.Genesis, to)
		}
	}
	slices.SortFunc(list, func(a, b finder) int { return a.place.compare(&b.place) })
	return list
}

// gapsOf lists what a commit found, highest first.
func (e *Engine) gapsOf(ctx context.Context, f finder, class schema.GapClass) ([]answer.FoundGap, error) {
	if f.commit.Kind == schema.KindGenesis {
		if class != "" && class != schema.GapBeforeGenesis {
			return nil, nil
		}
		return []answer.FoundGap{found(f.commit, beforeGenesis(f))}, nil
	}
	if class != "" {
		a, err := e.account(ctx, f.view)
		if err != nil {
			return nil, err
		}
		if _, some := a.gaps[f.commit.Seq][class]; !some {
			return nil, nil
		}
	}
	gaps, err := e.options.Ledger.Gaps(ctx, f.commit)
	if err != nil {
		return nil, err
	}
	var list []answer.FoundGap
	for i := len(gaps) - 1; i >= 0; i-- {
		g := gaps[i]
		if g.To = min(g.To, f.until); g.From < g.To && (class == "" || g.Class == class) {
			list = append(list, found(f.commit, g))
		}
	}
	return list, nil
}

// beforeGenesis is what a chain leaves out at its beginning. No commit lists
// it: the genesis says it by where it begins.
func beforeGenesis(f finder) schema.Gap {
	g := schema.Gap{Class: schema.GapBeforeGenesis, To: f.until}
	if start := f.commit.Start; start != nil {
		evidence := fmt.Sprintf("genesis: start policy %s; ListOffsets: log start %d", start.Policy, start.LogStart)
		g.Evidence = &evidence
	}
	return g
}

// gapPlace is where a page of gaps ended: the order of finders, then the
// offset, falling.
type gapPlace struct {
	Found     time.Time      `json:"t"`
	TopicID   schema.TopicID `json:"i"`
	Partition int32          `json:"p"`
	Seq       int64          `json:"s"`
	From      int64          `json:"f"`
}

func (p gapPlace) compare(other *gapPlace) int {
	return cmp.Or(other.Found.Compare(p.Found), slices.Compare(p.TopicID[:], other.TopicID[:]),
		cmp.Compare(p.Partition, other.Partition), cmp.Compare(other.Seq, p.Seq))
}

func encodeGapCursor(p gapPlace) string {
	raw, _ := json.Marshal(p) // numbers, a time and an ID
	return base64.RawURLEncoding.EncodeToString(raw)
}

func decodeGapCursor(text string) (*gapPlace, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no cursor is the first page
	}
	var p gapPlace
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		return nil, badCursor(text)
	}
	return &p, nil
}
