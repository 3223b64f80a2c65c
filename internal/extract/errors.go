package extract

import (
	"slices"

	"github.com/fx-risk-ai/annals/schema"
)

// Bounds of an extraction. What a bound cuts is named in Extraction.Errors.
const (
	MaxIDBytes      = 512     // of an id, type, version or service
	MaxPayloadBytes = 1 << 20 // of a payload that is read
	MaxHeaders      = 4096    // headers read, from the first
	MaxCauses       = 1024    // declared parents kept, from the first
	MaxIdentifiers  = 256     // other ids kept, from the first
	MaxDepth        = 64      // nesting of a payload that is read
)

// The codes that do not belong to one field. A code is "subject:problem" in
// lower case; codes are stable, so that they can be searched for.
const (
	NotJSON             = "payload:not_json"      // says or looks like JSON and is not
	PayloadTooLarge     = "payload:too_large"     // JSON of more than MaxPayloadBytes: headers only
	PayloadTooDeep      = "payload:too_deep"      // nested deeper than MaxDepth: headers only
	HeadersTruncated    = "headers:truncated"     // more than MaxHeaders
	CausesTruncated     = "causes:truncated"      // more than MaxCauses
	IdentifiersCut      = "identifiers:truncated" // more than MaxIdentifiers
	TimestampNoZone     = "timestamp:no_zone"     // a local time: which instant is meant is not said
	SchemaIDMalformed   = "schema_id:malformed"   // the schema id header has an unknown form
	SchemaUnavailable   = "schema:unavailable"    // the registry gave no answer in time; read again later
	SchemaUnknown       = "schema:unknown"        // the registry does not know the schema
	SchemaMalformed     = "schema:malformed"      // the schema itself cannot be read
	Undecodable         = "payload:undecodable"   // the bytes are none of the schema's
	SourceIncomplete    = "source_record:incomplete"
	SourceMalformed     = "source_record:malformed"
	OriginalIncomplete  = "original_record:incomplete"
	OriginalMalformed   = "original_record:malformed"
	StageUnknownToRules = "stage:unknown" // a stage header says none of the stages
)

// The problems a field's own code ends in: "event_id:too_long".
const (
	malformed    = ":malformed"
	missing      = ":missing" // only on a topic with a contract
	tooLong      = ":too_long"
	notPrintable = ":not_printable"
)

func addError(into *schema.Extraction, code string) {
	if !slices.Contains(into.Errors, code) {
		into.Errors = append(into.Errors, code)
	}
}
