package answer

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// SearchRequest filters records; empty fields filter nothing. Package query
// binds a cursor to the encoding of all fields but Limit and Cursor: one that is
// renamed or moved here makes the cursors that are out there void.
type SearchRequest struct {
	From, To  time.Time // record times; To is exclusive
	Topics    []string
	TopicID   *schema.TopicID // with one topic: another one of the name; nil: the one whose archive began last
	EventType string
	Service   string
	Stage     string
	Statuses  []schema.Status // empty: committed
	ID        string          // of any role, in any encoding
	Query     string          // more of the same, as it is typed; see Search of the query package
	Limit     int             // 1 to 1,000; 0: as many as whoever answers sees fit
	Cursor    string          // NextCursor of the page before
	// Violation is a rule that the record breaks, or how it begins with a * behind.
	Violation string `json:",omitempty"`
}

// Page is a page of records, newest first.
type Page struct {
	Records    []Hit
	NextCursor string // "" on the last page
	Note       string // what a limit cut, or which topics are not known
	Unknown    []UnknownTopic
	Searched   Searched
}

// UnknownTopic is a topic that was asked for and of which nothing is archived,
// or nothing that the principal may see.
type UnknownTopic struct {
	Topic      string
	DidYouMean string // an archived topic of nearly that name; "" if there is none
}

// Identification is every role an id plays.
type Identification struct {
	ID        string
	Forms     []string // what the text was read as: "UUID", "64 bits in decimal", …
	Tried     []string // spellings looked up
	Matches   []Match
	Truncated bool
	Searched  Searched
}

// RoleTrace is Match.Role of an id that is a trace's.
const RoleTrace = "trace"

// Match is one role of an id: schema.IDKind's word, or RoleTrace. Records are
// the newest of Count.
type Match struct {
	Role    string
	TraceID string // the one trace that all of them are in, if it is one
	Count   int64
	Records []Hit
}
