package answer

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// Hit is what the index knows of a record.
type Hit struct {
	Topic        string
	TopicID      schema.TopicID
	Partition    int32
	Branch       int32
	Offset       int64
	Timestamp    int64 // Kafka's, in milliseconds since the Unix epoch
	EventTime    int64 // the contract's, in microseconds since the Unix epoch; valid if HasEventTime
	HasEventTime bool
	Status       schema.Status
	Sealed       bool // in the ledger; otherwise fresh
	Stage        schema.Stage
	EventType    string
	EventVersion string
	Service      string
	TraceID      string
	EventID      string
	SpanID       string
	Errors       []string // known in a search and for one record only
	Bytes        int64
}

// Position is the record's identity.
func (h *Hit) Position() schema.Position {
	return schema.Position{TopicID: h.TopicID, Partition: h.Partition, Branch: h.Branch, Offset: h.Offset}
}

// Coordinates names the record by topic name.
func (h *Hit) Coordinates() schema.Coordinates {
	return schema.Coordinates{Topic: h.Topic, Partition: h.Partition, Offset: h.Offset}
}

// Place is a record's full coordinates.
type Place struct {
	Topic     string
	TopicID   schema.TopicID
	Partition int32
	Branch    int32
	Offset    int64
}

// Searched is what a look-up covered, so that "not found" means something. The
// times are the archive's clock; zero is unknown.
type Searched struct {
	Topics   int
	Records  int64
	FreshTo  time.Time // when the newest indexed record was read
	SealedTo time.Time
}

// NotFoundError is an error that says what was searched in vain. Its kind is
// Err's: NotFound.
type NotFoundError struct {
	Searched Searched
	Err      error
}

// Error returns the wrapped message.
func (e *NotFoundError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *NotFoundError) Unwrap() error { return e.Err }
