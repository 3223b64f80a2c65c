package custody

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// step is a record of a trace in the report, and what it did to the one that
// it follows from.
type step struct {
	Record       schema.Coordinates
	Timestamp    time.Time // Kafka's
	Service      string
	EventType    string
	EventVersion string
	EventID      string
	Stage        schema.Stage
	StageRule    string // which rule decided the stage
	Parents      []parent

	// Compared is the parent that Changes are against; nil if there is none, or
	// the two could not be compared, which Note says.
	Compared  *schema.Coordinates
	Changes   []answer.Change
	Truncated bool
	Note      string
}

// parent is what a step follows from. Archived tells a record from one that is
// named and was never seen.
type parent struct {
	answer.Edge
	Name     string // its coordinates, or the id by which it is named
	Archived bool
	TraceID  string // if it is in another trace
}

// stepsOf are a trace's hops as the report shows them, in causal order.
func stepsOf(trace *answer.Trace) []step {
	steps := make([]step, len(trace.Hops))
	for i := range trace.Hops {
		h := &trace.Hops[i]
		steps[i] = step{
			Record: h.Coordinates(), Timestamp: time.UnixMilli(h.Timestamp), Service: h.Service, EventType: h.EventType,
			EventVersion: h.EventVersion, EventID: h.EventID, Stage: h.Stage, StageRule: h.StageRule,
		}
		if d := h.Diff; d != nil {
			steps[i].Truncated, steps[i].Note = d.Truncated, d.Note
			if d.Comparable {
				at := trace.Hops[d.Parent].Coordinates()
				steps[i].Compared, steps[i].Changes = &at, d.Changes
			}
		}
	}
	for _, e := range trace.Edges {
		steps[e.Child].Parents = append(steps[e.Child].Parents, parentOf(trace, e))
	}
	return steps
}

func parentOf(trace *answer.Trace, e answer.Edge) parent {
	p := parent{Edge: e, Archived: true}
	switch o := e.Outside; {
	case o == nil:
		p.Name = trace.Hops[e.Parent].Coordinates().String()
	case o.Coordinates != nil:
		c := o.Coordinates
		p.Name = schema.Coordinates{Topic: c.Topic, Partition: c.Partition, Offset: c.Offset}.String()
		p.TraceID = o.TraceID
	default:
		p.Name, p.TraceID, p.Archived = o.ID, o.TraceID, !o.Ghost
	}
	return p
}
