package answer

import "time"

// GroupOffsetsRequest asks where a consumer group of a replay's source stands in its
// target.
type GroupOffsetsRequest struct {
	Group string
	// AsOf takes what the group had committed then, by the archived snapshots; zero:
	// what it has committed now, in Kafka.
	AsOf time.Time
	// Into is the group for which the offsets are committed; "": Group.
	Into string
	// Nearest also takes those that have no exact place in the target.
	Nearest bool
	Apply   bool // commit them
}

// How a group's offset stands to a replay. The first three have the meaning in the
// target that they have in the source: the first record that is not read is the first
// copy that is not read.
const (
	OffsetExact       = "exact"       // the record at the offset was replayed
	OffsetNext        = "next"        // no record lies between it and the next one that was replayed
	OffsetEnd         = "end"         // every record that was replayed is read, and no other one
	OffsetBefore      = "before"      // records that are not read lie before the replay
	OffsetGap         = "gap"         // records that are not read lie between replayed ones, and were not replayed
	OffsetBeyond      = "beyond"      // records behind the replay are read
	OffsetUnknown     = "unknown"     // the archive does not have what lies between
	OffsetUncommitted = "uncommitted" // the group has committed nothing of the partition
)

// GroupOffsets is where a group stands.
type GroupOffsets struct {
	Group, Into string
	State       string    // of the group into which they go, in Kafka's words
	Taken       time.Time // of the snapshot; zero: they are Kafka's of now
	Partitions  []GroupOffset
	Applied     int // offsets that were committed
	Notes       []string
}

// GroupOffset is one partition.
type GroupOffset struct {
	Source, Target  string
	Partition       int32
	TargetPartition int32
	Committed       *int64 // in the source
	Status          string // OffsetExact, …
	// TargetOffset is the first copy that is not read, exactly or as near as there is;
	// nil: it is not known.
	TargetOffset *int64
	Current      *int64 // what Into has committed there now
	Note         string
}

// IsExact tells whether the offset means in the target what it means in the source.
func (g *GroupOffset) IsExact() bool {
	return g.Status == OffsetExact || g.Status == OffsetNext || g.Status == OffsetEnd
}
