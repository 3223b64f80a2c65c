package answer

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// DeadRecordRequest asks for records that services could not process and copied to
// a dead letter topic; what is zero does not narrow. Package query binds a cursor
// to all fields but Limit and Cursor.
type DeadRecordRequest struct {
	// Topic names dead letter topics: a name, or a pattern with * and ?. All records
	// of such a topic count. "": what is recognised as a dead letter.
	Topic     string
	Original  string // the topic that they come from
	Error     string // a part of the exception's class or the message, in any case
	Service   string // who gave up, or the service that the record names as its source
	Signature string // of a DeadRecordGroup
	// Records are dead letters by their coordinates, at most MaxNamedDeadRecords;
	// then nothing else may be asked for. One that is not archived is NotFound.
	Records  []schema.Coordinates
	From, To time.Time // times of the dead letters; To is exclusive
	Limit    int       // 0: as many as whoever answers sees fit
	Cursor   string    // NextCursor of the page before
}

// Failure is what a dead letter's headers tell of why it is one; what they do not
// tell is zero.
type Failure struct {
	Framework string              // whose headers they are: spring, kafka-connect, …
	Original  *schema.Coordinates // where the record stood
	Last      *schema.Coordinates // where it was read when it failed last
	Class     string              // of the exception
	Message   string
	Stage     string // what failed, in the framework's words
	By        string // who gave up: a consumer group or a connector
	Redriven  int    // how often it was put back to its original topic already
	Back      bool   // it was put back since it failed last
	Signature string // alike failures have the same
	Problem   string // what the headers say and cannot be read
}

// MaxNamedDeadRecords bounds DeadRecordRequest.Records.
const MaxNamedDeadRecords = 200

// DeadRecord is one dead letter of a service.
type DeadRecord struct {
	Hit     Hit
	Failure Failure
	// PutBack is a copy of this record in its original topic; nil: none is archived.
	PutBack *schema.Coordinates
}

// DeadRecordPage is some dead letters, newest first.
type DeadRecordPage struct {
	Records    []DeadRecord
	Examined   int    // dead letters that were looked at for it
	Unread     int    // of these, those that could not be read
	Note       string // why, or what a limit cut off
	NextCursor string // "": there are no more
	Searched   Searched
}

// DeadRecordGroup is what dead letters with the same signature have in common.
type DeadRecordGroup struct {
	Signature   string
	Class       string
	Message     string // without what differs from one record to the next
	Stage       string
	Records     int
	Redriven    int       // of these, how many had been put back before
	First, Last time.Time // of the dead letters
	Topics      []string  // dead letter topics; as all lists here, at most MaxGroupNames
	Originals   []string  // topics that they come from
	By          []string
	Samples     []DeadRecord // the newest
}

// Bounds of a DeadRecordGroup.
const (
	MaxGroupNames   = 20
	MaxGroupSamples = 3
)

// DeadRecordGroups are groups, the largest first.
type DeadRecordGroups struct {
	Groups   []DeadRecordGroup
	LeftOut  int // groups beyond the limit
	Examined int
	Unread   int
	Complete bool // every dead letter that was asked for was looked at and read
	Note     string
	Searched Searched
}

// The roles in a DeadChain.
const (
	ChainOriginal   = "original"
	ChainDeadLetter = "dead letter"
	ChainRetry      = "retry"    // in a retry topic
	ChainRedriven   = "redriven" // put back to its original topic
	ChainCopy       = "copy"     // another copy, such as a replay's
)

// DeadChain is what a record went through: where it failed, was retried, put back,
// and failed again, by record time.
type DeadChain struct {
	Links     []DeadLink
	Truncated bool // there are more than MaxChainLinks
}

// MaxChainLinks bounds DeadChain.Links.
const MaxChainLinks = 100

// DeadLink is one record of a chain.
type DeadLink struct {
	At      schema.Coordinates
	Role    string
	Hit     *Hit     // nil: it is not archived, or may not be seen
	Failure *Failure // nil: its headers tell of none
	CopyOf  []schema.Coordinates
	Note    string // why there is no Hit
}
