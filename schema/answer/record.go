package answer

import "github.com/fx-risk-ai/annals/schema"

// RecordRequest names one record. TopicID nil is the name's newest incarnation,
// Branch nil the newest branch that holds the offset.
type RecordRequest struct {
	schema.Coordinates
	TopicID *schema.TopicID
	Branch  *int32
}

// Record is one record with its bytes. Its extraction may be nil.
type Record struct {
	Hit        Hit
	Record     *schema.Record
	Extraction *schema.Extraction
	// Withheld is what the topic's policy takes out of Record: "key", "value",
	// "header:NAME", or a JSON Pointer into the value.
	Withheld []string
	Source   string // where the bytes were read: a segment's key, or "kafka"
}
