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
	FactsOnly bool   // leave inferred edges out, and of a flow what only shares an id
	Flow      bool   // go on into other traces
	// Archive reads the segments themselves, with record times from From to before
	// To, and needs no index.
	Archive  bool
	From, To time.Time
	Limit    int // hops, the earliest first, at most MaxTraceHops; 0: as many as whoever answers sees fit
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
	// NotInferred is about how many parents in other traces the hops have that
	// declare none, by what others of their kind declare. They are not inferred.
	NotInferred int
	// NotLearned is of how many topics and types of these hops it was not found out how
	// others of the kind name their parents, for want of time, or since they are more
	// than one trace looks into: theirs are guessed by what holds of all kinds.
	NotLearned int
	Flow       *Flow        // nil: not asked for
	Archive    *ArchiveLook // nil: the index was asked
	Truncated  bool
	Searched   Searched
}

// Traced is what is known of one of several traces: its records by their times, and
// no edges.
type Traced struct {
	TraceID   string // as it was asked for
	Records   []Hit
	Truncated bool // there are more than MaxTraceHops
}

// Hop is a record of a trace.
type Hop struct {
	Hit
	StageRule string // which rule decided the stage
	Depth     int    // longest way from a root
	Diff      *Diff  // nil: not asked for, or no parent
	Key       []byte // nil is a null key; valid if HasKey
	HasKey    bool   // the payload was read
	Reached   *Reached
}

// ArchiveLook is what of the archive itself was looked into. Nothing is inferred,
// and what is not sealed is not in it.
type ArchiveLook struct {
	From, To       time.Time
	OfSegments     int    // with times in the range
	Looked         int    // whose filters of trace ids were asked
	Segments       int    // read, because they may have the trace
	ParentsOutside int    // declared, and not among the hops: not looked for
	Stopped        string // what bound ended it, as of Scan; empty: it saw all
}

// The ways in which a flow comes to a record.
const (
	FlowCause     = "cause"     // a record of the flow names it as its cause, or as what it is a copy of
	FlowEffect    = "effect"    // it names a record of the flow
	FlowForwarded = "forwarded" // trace headers of the one are on the other
	FlowSharedID  = "shared_id" // both have a correlation or business id: a guess
	FlowTrace     = "trace"     // it is in the trace of a record that was come to
)

// Reached is how a flow came to a record beyond the trace that was asked for.
type Reached struct {
	How      string
	ID       string // what led there
	From     int    // index into the hops: from which; -1: not known
	Step     int    // how many steps from the trace
	Inferred bool
}

// Flow is what was followed beyond a trace, within its bounds.
type Flow struct {
	Traces   []string  // those of the hops
	Steps    int       // taken
	From, To time.Time // record times within which was looked
	Cuts     []FlowCut // what the bounds cut off
}

// Why a flow does not go on.
const (
	FlowCutHub    = "hub"     // the id or trace leads to too many records to mean anything
	FlowCutLimit  = "limit"   // of hops
	FlowCutSteps  = "steps"   // of steps; Records were not gone on from
	FlowCutReads  = "reads"   // of payloads read for ids; Records were not read
	FlowCutUnread = "unread"  // Records could not be read for ids
	FlowCutLookup = "look-up" // the index gave not all that there are
)

// FlowCut is something that was not followed.
type FlowCut struct {
	Why     string
	How     string // of Reached; empty: in any way
	ID      string // empty: no single one
	Records int
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
