package answer

import "github.com/fx-risk-ai/annals/schema"

// DeadLetterRequest asks for dead letters, by topic, partition and offset. Zero
// values are no filter.
type DeadLetterRequest struct {
	Topic     string
	Component schema.DeadLetterComponent
	ID        string
	Limit     int
	Cursor    string
}

// DeadLetterPage is some dead letters.
type DeadLetterPage struct {
	Letters    []schema.DeadLetter
	Total      int    // that match, on all pages
	NextCursor string // empty on the last page
}
