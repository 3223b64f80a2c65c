package answer

import (
	"encoding/json"
	"time"
)

// MaxTraceHops is the most that a TraceRequest may ask for.
const MaxTraceHops = 5000

// TraceRequest asks for a trace.
type TraceRequest struct {
	TraceID   string // in any usual encoding
	Diffs     bool   // compare each step with its parent, which reads payloads
	FactsOnly bool   // leave inferred edges out
	Limit     int    // hops, the earliest first, at most MaxTraceHops; 0: as many as whoever answers sees fit
}

// Trace is a trace's hops in causal order. Zero times are unknown.
type Trace struct {
	TraceID        string
	From, To       time.Time // record times
	Hops           []Hop
	Edges          []Edge
	Topics         []string
	Services       []string
	Sealed         int // hops in the ledger
	Ghosts         int // parents that are named and not archived
	OutsideParents int // parents in other traces
	Truncated      bool
	Searched       Searched
}

// Hop is a record of a trace.
type Hop struct {
	Hit
	StageRule string // which rule decided the stage
	Depth     int    // longest way from a root
	Diff      *Diff  // nil: not asked for, or no parent
	Key       []byte // nil is a null key; valid if HasKey
	HasKey    bool   // the payload was read
}

// The kinds of an Edge, in the API's words.
const (
	CausedBy    = "caused_by"    // the parent's event or span id
	DerivedFrom = "derived_from" // the parent's coordinates
	DeadLetter  = "dlq_of"
	ReplayOf    = "replay_of"
	CopyOf      = "copy_of"
	Inferred    = "inferred"
)

// Edge leads from a parent to a child.
type Edge struct {
	Child      int      // index into the trace's hops
	Parent     int      // index into the trace's hops, or -1: see Outside
	Outside    *Outside // nil if the parent is a hop
	Kind       string
	Declared   bool // a fact that the producer wrote
	Rule       string
	Evidence   string  // the header or field that says so
	Confidence float64 // 0 to 1
	Primary    bool    // the parent that the step is compared with
}

// Outside is a parent in another trace, or a ghost: named, not archived.
type Outside struct {
	Ghost       bool
	ID          string
	Coordinates *Place // nil if unknown
	Timestamp   int64  // milliseconds since the Unix epoch; valid unless Ghost
	TraceID     string
	EventType   string
}

// Diff is what a step changed.
type Diff struct {
	Parent     int // index into the trace's hops
	Comparable bool
	Note       string // why it could not be compared, or what a limit cut
	Changes    []Change
	Truncated  bool
}

// Change is one field-level change. A nil From or To is absent; a JSON null is
// "null".
type Change struct {
	Op        string // add, remove, change or move
	Path      string // JSON Pointer (RFC 6901)
	From, To  json.RawMessage
	MovedFrom string
	Envelope  bool // a contract field that every hop rewrites
}
