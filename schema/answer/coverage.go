package answer

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// Topics are the topics, archived or not.
type Topics struct {
	Topics []Topic
	Notes  []string // what cannot be known here, and why
}

// Topic is what is archived of a topic. Zero times are unknown.
type Topic struct {
	Cluster       string // "" if Kafka does not say
	Topic         string
	TopicID       schema.TopicID
	Partitions    int
	SealedRecords int64 // committed ones
	FreshRecords  int64 // offsets indexed and not sealed
	Bytes         int64 // of its segments
	Segments      int
	Lag           int64 // offsets between the high watermark and the fresh position
	RatePerSecond float64
	First, Last   time.Time // record times
	Archived      bool
	Detail        string // why it is not archived, or anything worth saying
}

// TopicPolicies are what holds for topics, by name.
type TopicPolicies struct {
	Topics []TopicPolicy
	Notes  []string // what cannot be known here, and why
}

// TopicPolicy is what holds for a topic.
type TopicPolicy struct {
	Topic      string
	Properties []PolicyProperty
}

// PolicyProperty is one thing that holds for a topic, in the words of the
// configuration, and the entry that decides: "" where none says anything.
type PolicyProperty struct{ Name, Value, By string }

// Coverage is what is archived, and what is known not to be.
type Coverage struct {
	Partitions  []PartitionCoverage
	NotArchived []TopicState
	Notes       []string // what cannot be known here, and why
}

// PartitionCoverage accounts for every offset of a partition, in the latest
// view of its chain: ArchivedTo − ArchivedFrom = Committed + Aborted + Marker +
// GapOffsets + Purged + Unaccounted. To-offsets are exclusive.
type PartitionCoverage struct {
	Cluster                  string
	Topic                    string
	TopicID                  schema.TopicID
	Partition                int32
	Branch                   int32
	ArchivedFrom, ArchivedTo int64
	FreshTo                  int64
	HighWatermark            int64 // -1: unknown
	Lag                      int64
	StartPolicy              string // why it begins at ArchivedFrom; what is below is before_genesis
	LogStartAtGenesis        int64  // where Kafka's log began then
	Account
	Gaps       []FoundGap // the newest
	Branches   []BranchCoverage
	Segments   int
	Commits    int64
	LastSealed time.Time
	// Ended tells that the topic was deleted, and its chain ended at EndedAt: nothing
	// more will come. Then HighWatermark is what was last seen in Kafka, and Went the
	// offsets from ArchivedTo up to it, which went with the topic unarchived; -1: not
	// known.
	Ended   bool
	EndedAt time.Time
	Went    int64
}

// Account says what became of a range of offsets.
type Account struct {
	Committed, Aborted, Marker int64 // rows by status
	Purged                     int64 // rows that were taken away, by a purge
	Classes                    []ClassCount
	GapRanges, GapOffsets      int64
	Unaccounted                int64 // what is left over; anything but 0 is an alarm
}

// ClassCount sums the gaps of one class.
type ClassCount struct {
	Class           schema.GapClass
	Ranges, Offsets int64
}

// BranchCoverage accounts for what was archived on one branch, from where it
// leaves the one before it to where it ended. Offsets from Until on are not in
// the latest view: a later branch took their place.
type BranchCoverage struct {
	Branch          int32
	From, Until, To int64
	Account
}

// FoundGap is a gap, and the commit that found it.
type FoundGap struct {
	Topic     string
	TopicID   schema.TopicID
	Partition int32
	Branch    int32
	schema.Gap
	Seq   int64
	Found time.Time // the writer's clock
}

// GapRequest asks for gaps, newest first. Zero values are no filter.
type GapRequest struct {
	Topic     string
	Partition *int32
	Class     schema.GapClass
	Limit     int
	Cursor    string
}

// GapPage is some gaps.
type GapPage struct {
	Gaps       []FoundGap
	NextCursor string // empty on the last page
}

// Listing is what an archiver knows of Kafka's topics.
type Listing struct {
	Topics []TopicState
	Hidden string // why there may be topics that it does not know of; empty: there are none
}

// TopicState says whether a topic is archived and, if not, why.
type TopicState struct {
	Topic    string
	TopicID  schema.TopicID // zero where it is not archived
	Archived bool
	Reason   string
}

// Segments are the current segments of a topic.
type Segments struct {
	Cluster  string
	Topic    string
	TopicID  schema.TopicID
	Bucket   string
	Segments []Segment
	Batches  []RawBatch // if they were asked for
}

// SegmentRequest asks for the current segments of a topic. TopicID is which one
// of the name; nil: the one whose archive began last. Raw asks for the raw
// batches too, for which every list of gaps is read.
type SegmentRequest struct {
	Topic   string
	TopicID *schema.TopicID
	Raw     bool
}

// RawBatch is what could not be read of a partition, as it was fetched: the
// object that the gap From to To, exclusive, names.
type RawBatch struct {
	Key       string // with the archive's prefix
	SHA256    schema.Digest
	Bytes     int64
	Partition int32
	Branch    int32
	From, To  int64
	Evidence  *string
}

// Segment is one Parquet object. Next is exclusive; zero times are unknown. Rows
// at Until and above were superseded by a later branch; Next: none was.
type Segment struct {
	Key                        string // with the archive's prefix
	SHA256                     schema.Digest
	Bytes                      int64
	TopicID                    schema.TopicID
	Partition                  int32
	Branch                     int32
	Base, Next, Until          int64
	Rows                       int64
	MinTimestamp, MaxTimestamp time.Time
}
