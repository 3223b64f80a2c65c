package measure

import (
	"time"

	"github.com/google/uuid"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// CommitAfter begins the commit of a stream that follows head: what it archives is the
// caller's to add.
func CommitAfter(head ledger.Head, s schema.Stream, kind schema.CommitKind) *schema.Commit {
	c := &schema.Commit{
		Format: schema.CommitFormat, Kind: kind, Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition,
		Attempt: uuid.NewString(), Writer: "bench", Clock: time.Now().UTC().Format(time.RFC3339Nano),
		Versions: schema.Versions{Segment: segment.Format, Extract: schema.ExtractVersion, Build: "bench"},
	}
	if head.Commit != nil {
		digest := head.Digest
		c.Branch, c.Seq, c.Previous, c.Base, c.Next = head.Commit.Branch, head.Commit.Seq+1, &digest, head.Next, head.Next
	}
	return c
}
