package ledger

import (
	"context"
	"fmt"

	"github.com/fx-risk-ai/annals/schema"
)

// Gaps returns the gaps of a commit of the chain: those in line, or those of
// the object it names, held against the commit.
func (l *Ledger) Gaps(ctx context.Context, c *schema.Commit) ([]schema.Gap, error) {
	if c.GapsObject == nil {
		return c.Gaps, nil
	}
	raw, _, err := l.store.Get(ctx, c.GapsObject.Key, schema.MaxGapsBytes)
	if err != nil {
		return nil, fmt.Errorf("read gaps: %w", missing(err, c.Stream(), c.Seq))
	}
	gaps, err := schema.ParseGaps(raw, c)
	if err != nil {
		return nil, fmt.Errorf("read gaps: %w", err)
	}
	return gaps, nil
}

// maxInlineBytes bounds the gaps that stand in a commit: with what else it says
// it must stay below schema.MaxCommitBytes.
const maxInlineBytes = 32 << 10

// PlaceGaps sets the gaps of a commit that is being made, and their sum. A
// list too long to stand in line is written beside it first, under a name that
// holds its hash. The commit's stream and range must be set.
func (l *Ledger) PlaceGaps(ctx context.Context, c *schema.Commit, gaps []schema.Gap) error {
	raw, sum, err := schema.EncodeGaps(gaps, c.Base, c.Next)
	if err != nil {
		return fmt.Errorf("place gaps: %w", err)
	}
	c.Gaps, c.GapsObject, c.GapOffsets = gaps, nil, sum
	if len(gaps) <= schema.MaxInlineGaps && len(raw) <= maxInlineBytes {
		return nil
	}
	sha := schema.CommitDigest(raw)
	ref := &schema.ObjectRef{Key: schema.GapsKey(c.Stream(), c.Base, c.Next, sha), SHA256: sha, Bytes: int64(len(raw))}
	object, err := l.store.Put(ctx, ref.Key, raw)
	if err != nil {
		return fmt.Errorf("place gaps: %w", err)
	}
	if object.VersionID != "" {
		ref.VersionID = &object.VersionID
	}
	c.Gaps, c.GapsObject = nil, ref
	return nil
}
