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
	Source   string    // where the bytes were read: a segment's key, or "kafka"
	Decoded  *Decoding // nil: the value names no schema, or is withheld whole
}

// Decoding is what a schema makes of a record's value.
type Decoding struct {
	SchemaID string // a number, or a GUID
	Kind     string // AVRO, PROTOBUF or JSON; empty: the schema is not known
	Name     string // the full name of the value's type; empty: not known
	// Document is the value as JSON text without what is withheld; nil where Reason
	// says why it could not be decoded, and where the value is JSON as it stands.
	Document []byte
	Reason   string   // a code as of Extraction.Errors
	Detail   string   // in words, also where nothing hindered
	Withheld []string // of the document
}
