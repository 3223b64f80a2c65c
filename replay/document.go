package replay

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// The versions of the plan object. The second is written only where a topic is
// selected by its ID, the third only where a selection is narrowed by more than
// times, or oversized records are not refused, the fourth only where there is a
// filter, a range of event times, more than one trace, or where partitions or
// timestamps are not the source's, the fifth only where the target is another
// cluster, or files, or where copies by replays are taken. Of a redrive the plan has a format of its own.
const (
	planFormat         = "annals.replay-plan/1"
	planFormatByID     = "annals.replay-plan/2"
	planFormatNarrowed = "annals.replay-plan/3"
	planFormatFiltered = "annals.replay-plan/4"
	planFormatAway     = "annals.replay-plan/5"
)

var planFormats = []string{planFormat, planFormatByID, planFormatNarrowed, planFormatFiltered, planFormatAway, planFormatRedrive}

// maxPlanBytes bounds a plan object; about 250,000 segments.
const maxPlanBytes = 64 << 20

// document is a plan's content: the fields in this order, compact, 64-bit
// numbers as strings, are its canonical bytes, and their SHA-256 is the plan's
// ID. It holds nothing that depends on when it was made. A null prefix stands
// for the one made of the ID, which cannot be inside what it is the hash of.
// What came with later versions of the format is left out where it says nothing,
// so that what an earlier version could plan keeps its bytes and its ID. An
// empty Oversized is OversizedFail.
type document struct {
	Selection  selection         `json:"selection"`
	Cluster    string            `json:"target_cluster,omitempty"` // "": the archived one
	ClusterID  string            `json:"target_cluster_id,omitempty"`
	File       string            `json:"target_file,omitempty"` // answer.FileNDJSON, …; "": topics
	Prefix     *string           `json:"target_prefix"`
	Targets    map[string]string `json:"target_topics"` // encoding/json sorts the keys
	Existing   bool              `json:"allow_existing"`
	Source     bool              `json:"allow_source"`
	Provenance bool              `json:"provenance_headers"`
	Oversized  string            `json:"oversized,omitempty"`
	ByKey      bool              `json:"by_key,omitempty"`
	Into       int32             `json:"target_partitions,omitempty"` // 0: as the source has
	Timestamps string            `json:"timestamps,omitempty"`
	Shift      int64             `json:"shift_ms,omitempty,string"`
	Redrive    *answer.Redrive   `json:"redrive,omitempty"`
	Topics     []topicPlan       `json:"topics"`
}

// topicPlan is one incarnation of a topic. Records that make a batch of more
// than SkipOver bytes are not planned; 0 is no such limit.
type topicPlan struct {
	Cluster    string         `json:"cluster"`
	Source     string         `json:"source"`
	TopicID    schema.TopicID `json:"topic_id"`
	Partitions int32          `json:"partitions"`
	SkipOver   int64          `json:"skip_over,omitempty,string"`
	Target     string         `json:"target,omitempty"` // of a redrive, which may have several of a source
	Streams    []streamPlan   `json:"streams"`
}

// streamPlan is one partition, its segments by offset.
type streamPlan struct {
	Partition int32         `json:"partition"`
	To        *int32        `json:"target_partition,omitempty"` // of a redrive
	Segments  []segmentPlan `json:"segments"`
}

// segmentPlan is what is selected of one segment: the committed rows in
// [From, Next) that the selection wants, or those of them at Offsets, which are
// there for a trace, and where a filter chooses some and not others.
// Exact tells that the rows were read: then Bytes, the largest record and the
// times are known; otherwise Bytes is the object's share, an estimate.
type segmentPlan struct {
	Key          string        `json:"key"`
	SHA256       schema.Digest `json:"sha256"`
	RecordRoot   schema.Digest `json:"record_root"`
	Size         int64         `json:"size,string"`
	Branch       int32         `json:"branch"`
	From         int64         `json:"from,string"`
	Next         int64         `json:"next,string"`
	Offsets      []int64       `json:"offsets"`
	Records      int64         `json:"records,string"`
	Bytes        int64         `json:"bytes,string"`
	Exact        bool          `json:"exact"`
	Largest      int64         `json:"largest,string"`
	LargestAt    int64         `json:"largest_at,string"`
	MinTimestamp int64         `json:"min_timestamp,string"`
	MaxTimestamp int64         `json:"max_timestamp,string"`

	cut bool // a later branch or a range of offsets took rows away: the ledger's counts are not its own
}

// planObject is what stands in the bucket.
type planObject struct {
	Format    string                   `json:"format"`
	ID        string                   `json:"id"`
	Created   string                   `json:"created"`
	Warnings  []string                 `json:"warnings"`
	Oversized []answer.ReplayOversized `json:"oversized,omitempty"`
	Untold    []answer.ReplayUntold    `json:"untold,omitempty"`
	Plan      json.RawMessage          `json:"plan"`
}

func (d *document) encode() (raw []byte, id string, err error) {
	if raw, err = json.Marshal(d); err != nil {
		return nil, "", fmt.Errorf("encode plan: %w", err)
	}
	sum := sha256.Sum256(raw)
	return raw, schema.Digest(sum).String(), nil
}

// parsePlan reads a plan object and holds it against its ID.
func parsePlan(raw []byte, id string) (*planObject, *document, error) {
	damaged := func(format string, args ...any) (*planObject, *document, error) {
		return nil, nil, schema.Errorf(schema.Corrupt, "plan %s: %w", id, fmt.Errorf(format, args...))
	}
	var o planObject
	if err := schema.DecodeStrictly(raw, &o); err != nil {
		return damaged("%w", schema.Newer(raw, err, planFormats...))
	}
	if err := schema.CheckFormat(o.Format, planFormats...); err != nil {
		return damaged("%w", err)
	}
	if sum := schema.Digest(sha256.Sum256(o.Plan)).String(); sum != id || o.ID != id {
		return damaged("its bytes hash to %s", sum)
	}
	var d document
	if err := schema.DecodeStrictly(o.Plan, &d); err != nil {
		return damaged("%w", err)
	}
	return &o, &d, nil
}

// format is the lowest version that has what the plan says.
func (d *document) format() string {
	switch {
	case d.Redrive != nil:
		return planFormatRedrive
	case d.Cluster != "" || d.File != "" || d.Selection.Replays:
		return planFormatAway
	case d.Selection.isSieved() || d.Selection.TraceIDs != nil || d.spreads() || d.Timestamps != "":
		return planFormatFiltered
	case d.Oversized != "" || d.Selection.isNarrowed():
		return planFormatNarrowed // skip_over is there only where oversized is
	case d.Selection.TopicID != nil:
		return planFormatByID
	}
	return planFormat
}

// target names the topic that a source is replayed into.
func (d *document) target(id, source string) string {
	if name, ok := d.Targets[source]; ok {
		return name
	}
	if d.Prefix != nil {
		return *d.Prefix + source
	}
	return schema.ReplayTopicPrefix + id[:8] + "." + source
}

// lane is one source partition, of a redrive what goes from it to one partition,
// and its target, in the order in which a job takes them.
type lane struct {
	topic  *topicPlan
	stream *streamPlan
	target string
	chosen *choice
	spread spread
}

func (d *document) lanes(id string) []lane {
	var list []lane
	for i := range d.Topics {
		t := &d.Topics[i]
		chosen := d.choice(t)
		for j := range t.Streams {
			list = append(list, lane{t, &t.Streams[j], d.targetOf(id, t), &chosen, d.spreadOf(t)})
		}
	}
	return list
}

func (t *topicPlan) totals() (records, bytes int64, segments int) {
	for i := range t.Streams {
		for _, s := range t.Streams[i].Segments {
			records, bytes, segments = records+s.Records, bytes+s.Bytes, segments+1
		}
	}
	return records, bytes, segments
}

// span is the first and last time of the records, if all were read.
func (d *document) span() (first, last int64, known bool) {
	for i := range d.Topics {
		for j := range d.Topics[i].Streams {
			for _, s := range d.Topics[i].Streams[j].Segments {
				if !s.Exact {
					return 0, 0, false
				}
				if !known {
					first, last, known = s.MinTimestamp, s.MaxTimestamp, true
				}
				first, last = min(first, s.MinTimestamp), max(last, s.MaxTimestamp)
			}
		}
	}
	return first, last, known
}
