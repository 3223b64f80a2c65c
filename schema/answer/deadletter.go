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
	Unreadable []UnreadableLetter // of this page: they are there, or were, and could not be read
	Total      int                // that match, on all pages
	Counts     []DeadLetterCount
	LeftOut    int    // counts beyond MaxDeadLetterCounts
	NextCursor string // empty on the last page
}

// UnreadableLetter is a dead letter that is damaged, or was deleted while the page
// was read, and why it could not be read. What its key says of it holds.
type UnreadableLetter struct {
	Key, Topic string
	Component  schema.DeadLetterComponent
	Err        string
}

// MaxDeadLetterCounts bounds DeadLetterPage.Counts.
const MaxDeadLetterCounts = 1000

// DeadLetterCount is how many letters of a topic come from a component. A page
// has those of all, whatever it filters; the largest first, and no more than
// MaxDeadLetterCounts.
type DeadLetterCount struct {
	Topic     string
	Component schema.DeadLetterComponent
	Letters   int
}
