package query

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Segments gives the current segments of a topic: what an SQL user should read,
// since data/ also holds what was replaced. Of several topics of the name, from
// one cluster or more, it is the one whose archive began last, unless another is
// asked for. Raw batches of what a later branch took the place of are among those
// that may be asked for.
func (e *Engine) Segments(ctx context.Context, who policy.Principal, request answer.SegmentRequest) (*answer.Segments, error) {
	topic, id := request.Topic, request.TopicID
	views, err := e.viewsOf(ctx, func(s schema.Stream) bool {
		return s.Topic == topic && who.Topics.Allows(topic) && (id == nil || *id == s.TopicID)
	})
	if err != nil {
		return nil, err
	}
	if len(views) == 0 {
		return nil, schema.Errorf(schema.NotFound, "no topic %q is archived", topic)
	}
	newest := newestOf(views)
	list := &answer.Segments{Cluster: newest.Stream.Cluster, Topic: topic, TopicID: newest.Stream.TopicID, Bucket: e.options.Bucket}
	for _, v := range views {
		if v.Stream.TopicID != newest.Stream.TopicID || v.Stream.Cluster != newest.Stream.Cluster {
			continue
		}
		for _, s := range v.Current() {
			list.Segments = append(list.Segments, answer.Segment{
				Key: e.options.Prefix + s.Ref.Key, SHA256: s.Ref.SHA256, Bytes: s.Ref.Bytes, TopicID: v.Stream.TopicID,
				Partition: v.Stream.Partition, Branch: s.Branch, Base: s.Base, Next: s.Next, Until: s.Until, Rows: s.Records.Rows(),
				MinTimestamp: time.UnixMilli(s.Ref.MinTimestamp), MaxTimestamp: time.UnixMilli(s.Ref.MaxTimestamp),
			})
		}
		if !request.Raw {
			continue
		}
		if list.Batches, err = e.rawBatches(ctx, v, list.Batches); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list.Segments, func(a, b answer.Segment) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Base, b.Base))
	})
	return list, nil
}

// rawBatches adds what gaps of a stream keep raw, by commit.
func (e *Engine) rawBatches(ctx context.Context, v *ledger.View, list []answer.RawBatch) ([]answer.RawBatch, error) {
	for _, g := range v.Gapped {
		gaps, err := e.options.Ledger.Gaps(ctx, g.Commit)
		if err != nil {
			return nil, err
		}
		for _, gap := range gaps {
			if gap.Object == nil {
				continue
			}
			list = append(list, answer.RawBatch{
				Key: e.options.Prefix + gap.Object.Key, SHA256: gap.Object.SHA256, Bytes: gap.Object.Bytes,
				Partition: v.Stream.Partition, Branch: g.Commit.Branch, From: gap.From, To: gap.To, Evidence: gap.Evidence,
			})
		}
	}
	return list, nil
}
