package answer

import "time"

// Format is how all records that a search finds are written.
type Format string

// The formats.
const (
	NDJSON  Format = "ndjson"  // an object a line, and the statement as the last
	CSV     Format = "csv"     // RFC 4180, with a head
	Parquet Format = "parquet" // the statement in the footer's metadata
)

// Statement says what an export of a search holds, and what it does not.
type Statement struct {
	Records  int64     `json:"records"`  // written
	Unsealed int64     `json:"unsealed"` // found and left out: not sealed, so not evidence yet
	Complete bool      `json:"complete"` // every record that the index finds is in it
	Notes    []string  `json:"notes"`    // what is missing, in words
	Topics   int       `json:"topics"`   // searched
	FreshTo  time.Time `json:"fresh_to"` // when the newest record searched was read; zero: unknown
	SealedTo time.Time `json:"sealed_to"`
	At       time.Time `json:"at"` // when the search was asked for
}
