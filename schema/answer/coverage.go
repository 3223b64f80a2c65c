package answer

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// Topic is what is archived of a topic. Zero times are unknown.
type Topic struct {
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

// PartitionCoverage is what is archived of a partition. To-offsets are
// exclusive.
type PartitionCoverage struct {
	Topic                      string
	TopicID                    schema.TopicID
	Partition                  int32
	Branch                     int32
	ArchivedFrom, ArchivedTo   int64
	FreshTo                    int64
	HighWatermark              int64 // -1: unknown
	Lag                        int64
	Committed, Aborted, Marker int64        // records by status
	Gaps                       []schema.Gap // the first ones
	GapOffsets                 int64        // of all gaps
	Segments                   int
	Commits                    int64
	LastSealed                 time.Time
}

// Segments are the current segments of a topic.
type Segments struct {
	Topic    string
	Bucket   string
	Segments []Segment
}

// Segment is one Parquet object. Next is exclusive; zero times are unknown.
type Segment struct {
	Key                        string // with the archive's prefix
	SHA256                     schema.Digest
	Bytes                      int64
	TopicID                    schema.TopicID
	Partition                  int32
	Branch                     int32
	Base, Next                 int64
	Rows                       int64
	MinTimestamp, MaxTimestamp time.Time
}
