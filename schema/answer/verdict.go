package answer

import (
	"encoding/json"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// VerdictRequest asks whether everything is there of a trace, or of topics
// within a range of record times. A zero From or To is open.
type VerdictRequest struct {
	TraceID  string // then nothing else is given
	Topics   []string
	From, To time.Time // To is exclusive
}

// The reasons for which an answer may not be all there is.
const (
	ReasonTruncated = "truncated" // more hops than were looked at
	ReasonGhosts    = "ghosts"    // parents that are named and not archived
	ReasonGaps      = "gaps"      // offsets in range that Kafka did not serve, or that were purged
	ReasonUnsealed  = "unsealed"  // records of these topics, with times within the range, that are not sealed yet
	ReasonBehind    = "behind"    // records in Kafka that were not read yet
	ReasonUnknown   = "unknown"   // Kafka or the index does not answer, or a topic is not archived
)

// Verdict says whether everything is there, as far as the ledger tells. It is
// checked against the ledger, not proven from the bytes: that is annals verify.
type Verdict struct {
	Complete    bool // there is no reason against it
	Reasons     []string
	TraceID     string
	From, To    time.Time // the range of record times; zero is open
	Hops        int       // of the trace
	Ghosts      int
	UnsealedHop int             // hops that are not sealed
	SealedTo    time.Time       // when the partition that was sealed longest ago was; zero: none was
	Unsealed    int64           // indexed and not sealed, over the partitions, within the range
	Behind      int64           // in Kafka and not read
	Gaps        []VerdictGap    // by class
	Partitions  []VerdictStream // what was looked at
	Notes       []string
}

// VerdictGap sums up gaps of one class within range; schema.GapClass's words,
// "purged", and "gone" for what went with a topic that was deleted.
type VerdictGap struct {
	Class   string
	Ranges  int
	Offsets int64
}

// VerdictStream is one partition of a verdict.
type VerdictStream struct {
	Topic      string
	TopicID    schema.TopicID
	Partition  int32
	From, To   int64 // the offsets that the range of times can lie in, To exclusive
	SealedTo   int64 // offset
	LastSealed time.Time
	Unsealed   int64 // -1: the index does not answer
	Behind     int64 // -1: Kafka does not answer, or what went with a deleted topic is not known
	Gaps       []VerdictGap
}

// FieldRequest asks for one place in the payloads of a trace.
type FieldRequest struct {
	TraceID string
	Pointer string // RFC 6901; "" is the whole value
	Limit   int    // as of a TraceRequest
}

// FieldHistory is what one place in the payloads held at every hop of a trace,
// in causal order.
type FieldHistory struct {
	TraceID   string
	Pointer   string
	Steps     []FieldStep
	Truncated bool
	Searched  Searched
}

// The changes of a FieldStep.
const (
	FieldFirst   = "first"   // there, and there is no parent in the trace
	FieldAdded   = "added"   // there, and not in the parent
	FieldChanged = "changed" // there, with another value than in the parent
	FieldKept    = "kept"
	FieldRemoved = "removed" // in the parent, and not here
	FieldAbsent  = "absent"  // neither here nor in the parent
	FieldUnread  = "unread"  // see Note
)

// FieldStep is one hop.
type FieldStep struct {
	Hop       int // its place in the trace's answer
	Hit       Hit
	Parent    int // the hop that it is compared with; -1: none
	Change    string
	Value     json.RawMessage // nil: not there
	MovedFrom string          // where the parent has this value, if it was moved or renamed
	Note      string          // why it was not read, or that the value was cut
}
