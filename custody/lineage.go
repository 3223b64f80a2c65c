package custody

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// Traces finds the records of a trace.
type Traces interface {
	// TraceRecords gives every committed record of a trace that who may see,
	// sealed or not: the ledger decides which are. NotFound if there is none.
	TraceRecords(ctx context.Context, who policy.Principal, traceID string) (*TraceRecords, error)
}

// TraceRecords are the records of a trace, in any order.
type TraceRecords struct {
	TraceID   string // as the records spell it
	Records   []TraceRecord
	Truncated bool // a limit cut the list: such a trace is not exported
}

// TraceRecord is where a record of a trace stands.
type TraceRecord struct {
	schema.Position
	Topic string
}

// Lineages tells how the records of a trace follow from one another.
type Lineages interface {
	// Lineage gives a trace's steps in causal order, with what each changed, as
	// far as who may see them.
	Lineage(ctx context.Context, who policy.Principal, traceID string) (*Lineage, error)
}

// Lineage is a trace's steps in causal order.
type Lineage struct {
	Steps     []Step
	Truncated bool
}

// Step is a record and what it did to the one it follows from.
type Step struct {
	Record       schema.Coordinates
	Timestamp    time.Time // Kafka's
	Depth        int       // longest way from a root
	Service      string
	EventType    string
	EventVersion string
	EventID      string
	Stage        schema.Stage
	StageRule    string // which rule decided the stage
	Parents      []Parent

	// Compared is the parent that Changes are against; nil if there is none, or
	// the two could not be compared, which Note says.
	Compared  *schema.Coordinates
	Changes   []payload.Change
	Truncated bool
	Note      string
}

// Parent is what a step follows from.
type Parent struct {
	Name       string // its coordinates, or the id by which it is named
	Kind       string // caused_by, derived_from, dlq_of, replay_of, copy_of, inferred
	Declared   bool   // a producer said so; otherwise it was inferred
	Rule       string
	Evidence   string
	Confidence float64 // of an inferred one, 0 to 1
	Archived   bool    // otherwise it is named and not archived
	TraceID    string  // if it is in another trace
}
