package answer

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// ExportRequest is a trace, or topics with a time range. The zero time is no
// bound.
type ExportRequest struct {
	TraceID  string
	Topics   []string
	TopicID  *schema.TopicID // with one topic: another of the name than the newest
	From, To time.Time       // record timestamps; To is exclusive
	Case     string          // the asker's own identifier, for bag-info.txt
}

// Tail is where the chain of a partition, as somebody has read it, ends: on which
// branch, and at which offset, exclusive.
type Tail struct {
	Stream schema.Stream
	Branch int32
	Next   int64
}
