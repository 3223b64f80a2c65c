package answer

import "time"

// The kinds of anomaly.
const (
	ThroughputDrop  = "throughput_drop"
	DeadLetterRise  = "dead_letter_rise"
	SchemaMismatch  = "schema_mismatch"
	LagAnomaly      = "lag"
	UnexplainedGaps = "unexplained_gap"
)

// The states of an AnomalyCheck.
const (
	CheckOK            = "ok"
	CheckFound         = "anomalies"
	CheckIndeterminate = "indeterminate" // too little is known to say
)

// Anomalies is what differs from how it was, at a moment.
type Anomalies struct {
	At        time.Time
	From, To  time.Time // the hour of record times that was looked at
	Checks    []AnomalyCheck
	Anomalies []Anomaly
	Truncated bool // there are more than are shown
}

// AnomalyCheck is how one kind of check went.
type AnomalyCheck struct {
	Kind          string
	State         string
	Judged        int // topics, partitions or rules that could be judged
	Indeterminate int // that could not
	Note          string
}

// Anomaly is one finding. Expected is what Value is held against; each in the
// unit that Evidence says.
type Anomaly struct {
	Kind            string
	Topic           string
	Partition       *int32 // nil: of the whole topic
	Team            string // "": nobody is known to own it
	Component       string // the service that produces, or "archiver"; "": not known
	EventType       string // of a mismatch
	From, To        time.Time
	Value, Expected float64
	Evidence        string
	Traces          []string // some of those concerned, at most 5
}
