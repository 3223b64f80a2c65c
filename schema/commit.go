package schema

import (
	"encoding/hex"
	"fmt"
	"time"
)

// CommitFormat is the format every commit of this version names.
const CommitFormat = "annals.commit/1"

// MaxCommitBytes bounds a commit's canonical bytes, so that each fits into one
// entry of a transparency log (C2SP tlog-tiles).
const MaxCommitBytes = 64 << 10

// MaxInlineGaps bounds Commit.Gaps; more ranges than this move to a sidecar
// object that GapsObject names by hash.
const MaxInlineGaps = 1000

// CommitKind says what a commit changes.
type CommitKind string

// The kinds. Only genesis, segment, gap and divergence move the stream's next.
const (
	KindGenesis    CommitKind = "genesis"
	KindSegment    CommitKind = "segment"
	KindGap        CommitKind = "gap"
	KindDivergence CommitKind = "divergence"
	KindEnd        CommitKind = "end"
	KindRedaction  CommitKind = "redaction"
	KindPurge      CommitKind = "purge"
	KindHold       CommitKind = "hold"
	KindCompaction CommitKind = "compaction"
)

// MovesNext tells whether a commit of this kind sets the stream's next offset.
func (k CommitKind) MovesNext() bool {
	switch k {
	case KindGenesis, KindSegment, KindGap, KindDivergence:
		return true
	default:
		return false
	}
}

// FollowsEnd tells whether a commit of this kind may stand behind an end: those
// that say something of what is archived, and archive nothing, and the divergence
// by which a topic that is there again is archived on another branch.
func (k CommitKind) FollowsEnd() bool {
	switch k {
	case KindCompaction, KindRedaction, KindPurge, KindHold, KindDivergence:
		return true
	default:
		return false
	}
}

// Known tells whether this version understands the kind. An unknown kind is an
// error everywhere: what is not understood cannot be vouched for.
func (k CommitKind) Known() bool {
	switch k {
	case KindGenesis, KindSegment, KindGap, KindDivergence, KindEnd,
		KindRedaction, KindPurge, KindHold, KindCompaction:
		return true
	default:
		return false
	}
}

// GapClass says what can be known of an offset that Kafka did not serve.
type GapClass string

// The classes. Unexplained is an alarm.
const (
	GapBeforeGenesis  GapClass = "before_genesis"
	GapBeforeLogStart GapClass = "before_log_start"
	GapCleaned        GapClass = "cleaned"
	GapUnreadable     GapClass = "unreadable"
	GapUnexplained    GapClass = "unexplained"
)

// Known tells whether this version understands the class.
func (c GapClass) Known() bool {
	switch c {
	case GapBeforeGenesis, GapBeforeLogStart, GapCleaned, GapUnreadable, GapUnexplained:
		return true
	default:
		return false
	}
}

// Digest is a SHA-256.
type Digest [32]byte

// String gives lower-case hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != len(d) || hex.EncodeToString(raw) != string(text) {
		return Errorf(Invalid, "parse digest %q: want 64 lower-case hex digits", text)
	}
	copy(d[:], raw)
	return nil
}

// Counts are rows by status.
type Counts struct {
	Committed int64 `json:"committed,string"`
	Aborted   int64 `json:"aborted,string"`
	Control   int64 `json:"control,string"`
}

// Rows is their sum: one row for every offset that Kafka served.
func (c Counts) Rows() int64 { return c.Committed + c.Aborted + c.Control }

// Gap is a range of offsets, To exclusive, that Kafka did not serve. Object
// names the raw batch kept for an unreadable one. Evidence says from which
// answer of the broker the class follows.
type Gap struct {
	Class    GapClass   `json:"class"`
	From     int64      `json:"from,string"`
	To       int64      `json:"to,string"`
	Evidence *string    `json:"evidence"`
	Object   *ObjectRef `json:"object"`
}

// ObjectRef names an object by key and hash. VersionID is the store's, where
// it keeps versions.
type ObjectRef struct {
	Key       string  `json:"key"`
	SHA256    Digest  `json:"sha256"`
	Bytes     int64   `json:"bytes,string"`
	VersionID *string `json:"version_id"`
}

// SegmentRef names a segment and what a reader needs before opening it.
// Timestamps are milliseconds since the Unix epoch, over all rows but markers,
// whose clock is the broker's; over the markers if there is nothing else.
type SegmentRef struct {
	ObjectRef
	RecordRoot   Digest `json:"record_root"`
	MinTimestamp int64  `json:"min_timestamp,string"`
	MaxTimestamp int64  `json:"max_timestamp,string"`
}

// LeaderEpoch says from which offset on a leader epoch's records stand (KIP-101).
type LeaderEpoch struct {
	Epoch int32 `json:"epoch"`
	Start int64 `json:"start,string"`
}

// Start records, in a genesis, where archiving began and why.
type Start struct {
	Policy   string `json:"policy"` // earliest, latest or offset
	LogStart int64  `json:"log_start,string"`
}

// Divergence records what Kafka answered when its log no longer held what was
// archived. Where BranchPoint is ArchivedNext nothing archived is taken back.
type Divergence struct {
	ArchivedNext int64  `json:"archived_next,string"`
	BranchPoint  int64  `json:"branch_point,string"`
	LeaderEpoch  int32  `json:"leader_epoch"`
	EpochEnd     *int64 `json:"epoch_end,string"`
	Evidence     string `json:"evidence"`
}

// Decider is the marker that gave the last verdicts below a commit's next, and
// stands at next or above: whoever finds that Kafka lost it knows that rows
// from From on have a verdict of another history.
type Decider struct {
	Offset      int64  `json:"offset,string"`
	LeaderEpoch int32  `json:"leader_epoch"`
	ProducerID  int64  `json:"producer_id,string"`
	Verdict     string `json:"verdict"`     // committed or aborted
	From        int64  `json:"from,string"` // the first row that such a marker decided
}

// Redaction lists one erased field.
type Redaction struct {
	Offset int64  `json:"offset,string"`
	Field  string `json:"field"` // key, value or headers
}

// Authority says who asked for a commit that takes something away, under which
// case, and who approved.
type Authority struct {
	Case        *string  `json:"case"`
	Reason      string   `json:"reason"`
	RequestedBy string   `json:"requested_by"`
	ApprovedBy  []string `json:"approved_by"`
}

// Versions say which code and rules made the commit.
type Versions struct {
	Segment string `json:"segment"`
	Extract int32  `json:"extract"`
	Build   string `json:"build"`
}

// Commit is one entry of a stream's ledger chain, and the only thing that
// makes offsets archived. Base and Next bound the range it speaks of, Next
// exclusive. Fields that do not apply or are not known are null; none is ever
// left out. The fields' order is the canonical order of the bytes.
type Commit struct {
	Format            string        `json:"format"`
	Kind              CommitKind    `json:"kind"`
	Cluster           string        `json:"cluster"`
	Topic             string        `json:"topic"`
	TopicID           TopicID       `json:"topic_id"`
	Partition         int32         `json:"partition"`
	Branch            int32         `json:"branch"`
	Seq               int64         `json:"seq,string"`
	Previous          *Digest       `json:"previous_sha256"`
	Attempt           string        `json:"attempt"`
	Writer            string        `json:"writer"`
	Base              int64         `json:"base,string"`
	Next              int64         `json:"next,string"`
	Records           Counts        `json:"records"`
	Gaps              []Gap         `json:"gaps"`
	GapsObject        *ObjectRef    `json:"gaps_object"`
	GapOffsets        int64         `json:"gap_offsets,string"`
	LeaderEpochs      []LeaderEpoch `json:"leader_epochs"`
	DecidedBy         *Decider      `json:"decided_by"`
	Segment           *SegmentRef   `json:"segment"`
	Replaced          []ObjectRef   `json:"replaced"`
	Start             *Start        `json:"start"`
	Divergence        *Divergence   `json:"divergence"`
	Redactions        []Redaction   `json:"redactions"`
	Authority         *Authority    `json:"authority"`
	HighWatermark     *int64        `json:"high_watermark,string"`
	LastStableOffset  *int64        `json:"last_stable_offset,string"`
	LogStart          *int64        `json:"log_start,string"`
	TopicConfigSHA256 *Digest       `json:"topic_config_sha256"`
	Versions          Versions      `json:"versions"`
	Clock             string        `json:"clock"` // the writer's clock, RFC 3339 with nanoseconds, UTC
}

// Stream returns the stream whose chain the commit belongs to.
func (c *Commit) Stream() Stream {
	return Stream{Cluster: c.Cluster, Topic: c.Topic, TopicID: c.TopicID, Partition: c.Partition}
}

// Written is the commit's clock; the zero time of no commit, and of a clock that
// no archiver of ours writes.
func (c *Commit) Written() time.Time {
	if c == nil {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, c.Clock)
	if err != nil {
		return time.Time{}
	}
	return at
}

// Check holds the commit against every rule that needs no other object:
// format, kind, required parts, and rows + Σ gaps == next − base. The error is
// Corrupt and names the rule.
func (c *Commit) Check() error {
	if err := CheckFormat(c.Format, CommitFormat); err != nil {
		return fmt.Errorf("commit %d of %s: %w", c.Seq, c.Stream(), err)
	}
	if !c.Kind.Known() {
		return c.fault("unknown kind %q", c.Kind)
	}
	if c.TopicID.IsZero() {
		return c.fault("the topic ID is zero")
	}
	if c.Cluster != EscapeTopic(c.Cluster) {
		return c.fault("cluster ID %q has characters that no key may hold", c.Cluster)
	}
	if c.Cluster == "" || c.Topic == "" || c.Attempt == "" || c.Writer == "" || c.Clock == "" {
		return c.fault("cluster, topic, attempt, writer and clock are required")
	}
	if c.Seq < 0 || c.Partition < 0 || c.Branch < 0 || c.Base < 0 || c.Next < c.Base {
		return c.fault("seq, partition, branch, base or next is out of range")
	}
	if (c.Seq == 0) != (c.Kind == KindGenesis) || (c.Seq == 0) != (c.Previous == nil) {
		return c.fault("seq 0 is the genesis, alone without a previous commit")
	}
	if err := c.checkParts(); err != nil {
		return err
	}
	return c.checkSum()
}

func (c *Commit) checkParts() error {
	needsSegment := c.Kind == KindSegment || c.Kind == KindRedaction || c.Kind == KindCompaction
	switch {
	case needsSegment != (c.Segment != nil):
		return c.fault("a segment belongs to kinds segment, redaction and compaction, and to no other")
	case (c.Kind == KindGenesis) != (c.Start != nil):
		return c.fault("a start belongs to a genesis and to nothing else")
	case (c.Kind == KindDivergence) != (c.Divergence != nil):
		return c.fault("a divergence's evidence belongs to a divergence and to nothing else")
	case c.Kind == KindSegment && c.Records.Rows() == 0:
		return c.fault("a segment without rows")
	case c.Kind == KindGap && c.Records.Rows() != 0:
		return c.fault("a gap with rows")
	case c.Kind == KindGenesis && c.Base != c.Next:
		return c.fault("a genesis moves no offsets: base must equal next")
	case c.Records.Committed < 0 || c.Records.Aborted < 0 || c.Records.Control < 0 || c.GapOffsets < 0:
		return c.fault("a negative count")
	case len(c.Gaps) > MaxInlineGaps:
		return c.fault("%d gaps in line, at most %d", len(c.Gaps), MaxInlineGaps)
	case len(c.Gaps) > 0 && c.GapsObject != nil:
		return c.fault("gaps both in line and in a sidecar")
	}
	return c.checkChange()
}

// checkChange holds the parts of the kinds that do not archive offsets, but
// say something of those that are.
func (c *Commit) checkChange() error {
	replaces := c.Kind == KindCompaction || c.Kind == KindRedaction || c.Kind == KindPurge
	authorised := c.Kind == KindRedaction || c.Kind == KindPurge || c.Kind == KindHold
	switch {
	case replaces != (len(c.Replaced) > 0):
		return c.fault("replaced objects belong to kinds compaction, redaction and purge, and to no other")
	case authorised != (c.Authority != nil):
		return c.fault("an authority belongs to kinds redaction, purge and hold, and to no other")
	case (c.Kind == KindRedaction) != (len(c.Redactions) > 0):
		return c.fault("a list of erased fields belongs to a redaction and to nothing else")
	case c.Kind == KindEnd && (c.Base != c.Next || c.Records.Rows() != 0 || c.GapOffsets != 0 || c.GapsObject != nil):
		return c.fault("an end moves no offsets: base must equal next, and there are neither rows nor gaps")
	case (c.Kind == KindGenesis || c.Kind == KindDivergence) && (len(c.LeaderEpochs) > 1 || len(c.LeaderEpochs) == 1 && c.LeaderEpochs[0].Start != c.Next):
		return c.fault("a genesis or divergence names one leader epoch at most, that its next was answered under")
	case c.Kind == KindGenesis && c.Branch != 0:
		return c.fault("a genesis begins with branch 0")
	}
	if err := c.checkDecider(); err != nil {
		return err
	}
	if d := c.Divergence; d != nil && (c.Base != c.Next || d.BranchPoint != c.Next || d.ArchivedNext < c.Next) {
		return c.fault("a divergence's base and next are its branch point, not above what was archived")
	}
	return nil
}

func (c *Commit) checkDecider() error {
	d := c.DecidedBy
	switch {
	case d == nil:
	case c.Kind != KindSegment && c.Kind != KindGap && c.Kind != KindDivergence:
		return c.fault("a deciding marker belongs to kinds segment, gap and divergence, and to no other")
	case d.Offset < c.Next || d.From >= c.Next || d.From < 0:
		return c.fault("a deciding marker stands at next or above, and decided from below it")
	case d.Verdict != Committed.String() && d.Verdict != Aborted.String():
		return c.fault("a marker decides committed or aborted, not %q", d.Verdict)
	}
	return nil
}

func (c *Commit) checkSum() error {
	inGaps, err := checkGaps(c.Gaps, c.Base, c.Next)
	if err != nil {
		return c.fault("%v", err)
	}
	if c.GapsObject == nil && inGaps != c.GapOffsets {
		return c.fault("gap_offsets says %d, the gaps sum to %d", c.GapOffsets, inGaps)
	}
	if c.Kind != KindSegment && c.Kind != KindGap {
		return nil
	}
	if max(c.Records.Committed, c.Records.Aborted, c.Records.Control) > c.Next-c.Base {
		return c.fault("more rows of one status than offsets") // the sum could wrap around to the right one
	}
	if c.Records.Rows()+c.GapOffsets != c.Next-c.Base {
		return c.fault("%d rows + %d gap offsets ≠ %d offsets", c.Records.Rows(), c.GapOffsets, c.Next-c.Base)
	}
	return nil
}

// CheckFollows holds the commit against the head it claims to follow: seq,
// hash, branch and, for the kinds that move next and for an end, base. next is
// the chain's next offset before this commit; ended tells that an end is among
// the commits before it, with no divergence behind it.
func (c *Commit) CheckFollows(previous *Commit, digest Digest, next int64, ended bool) error {
	switch {
	case c.Seq != previous.Seq+1:
		return c.fault("follows seq %d", previous.Seq)
	case c.Previous == nil || *c.Previous != digest:
		return c.fault("names another previous commit than %s", digest)
	case c.Cluster != previous.Cluster || c.TopicID != previous.TopicID || c.Partition != previous.Partition:
		return c.fault("belongs to another stream than the commit before it")
	case c.Kind == KindDivergence && c.Branch != previous.Branch+1:
		return c.fault("a divergence raises the branch by one")
	case c.Kind != KindDivergence && c.Branch != previous.Branch:
		return c.fault("changes the branch without a divergence")
	case c.Kind == KindDivergence && c.Next > next:
		return c.fault("a divergence does not move next forward")
	case ended && !c.Kind.FollowsEnd():
		return c.fault("a %s stands behind the chain's end, where only a divergence, compaction, redaction, purge and hold may", c.Kind)
	case (c.Kind.MovesNext() && c.Kind != KindDivergence || c.Kind == KindEnd) && c.Base != next:
		return c.fault("begins at %d, the chain is at %d", c.Base, next)
	}
	return nil
}

func (c *Commit) fault(format string, args ...any) error {
	return Errorf(Corrupt, "commit %d of %s: %s", c.Seq, c.Stream(), fmt.Sprintf(format, args...))
}
