package segment

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/schema"
)

// Format names this version of the segment format.
const Format = "annals.segment/1"

const (
	createdBy = "annals version 1.0.0 (build arrow-go-18.8.0)"

	// Keys of the Parquet footer's key-value metadata.
	keySegment = "annals.segment"
	keyDigest  = "annals.digest"

	hexDigest = 2 * sha256.Size
)

// Footer is what a segment says of itself.
type Footer struct {
	Stream         schema.Stream
	Branch         int32
	ExtractVersion int32
	Counts         schema.Counts
	FirstOffset    int64
	LastOffset     int64
	MinTimestamp   int64 // milliseconds since the Unix epoch, over all rows but markers, if there are others
	MaxTimestamp   int64
	LeaderEpochs   []schema.LeaderEpoch
	Seed           proof.Seed
	RecordRoot     schema.Digest
	Subtrees       []schema.Digest // of every 1,024 rows, as proof.Tree gives them
}

// footerText is the footer's canonical JSON. Parts is a list because a
// compacted segment has one seed and tree for each segment that went into it;
// this version writes and reads one.
type footerText struct {
	Format         string               `json:"format"`
	Cluster        string               `json:"cluster"`
	Topic          string               `json:"topic"`
	TopicID        schema.TopicID       `json:"topic_id"`
	Partition      int32                `json:"partition"`
	Branch         int32                `json:"branch"`
	Records        schema.Counts        `json:"records"`
	FirstOffset    int64                `json:"first_offset,string"`
	LastOffset     int64                `json:"last_offset,string"`
	MinTimestamp   int64                `json:"min_timestamp,string"`
	MaxTimestamp   int64                `json:"max_timestamp,string"`
	LeaderEpochs   []schema.LeaderEpoch `json:"leader_epochs"`
	ExtractVersion int32                `json:"extract_version"`
	Parts          []part               `json:"parts"`
}

// part is a range of rows under one seed and one tree.
type part struct {
	FirstOffset int64         `json:"first_offset,string"`
	LastOffset  int64         `json:"last_offset,string"`
	Rows        int64         `json:"rows,string"`
	Seed        proof.Seed    `json:"seed"`
	RecordRoot  schema.Digest `json:"record_root"`
	Subtrees    string        `json:"subtrees"` // base64 of the hashes end to end
}

func (f *Footer) encode() (string, error) {
	raw := make([]byte, 0, len(f.Subtrees)*sha256.Size)
	for i := range f.Subtrees {
		raw = append(raw, f.Subtrees[i][:]...)
	}
	text := footerText{
		Format: Format, Cluster: f.Stream.Cluster, Topic: f.Stream.Topic, TopicID: f.Stream.TopicID,
		Partition: f.Stream.Partition, Branch: f.Branch, Records: f.Counts,
		FirstOffset: f.FirstOffset, LastOffset: f.LastOffset,
		MinTimestamp: f.MinTimestamp, MaxTimestamp: f.MaxTimestamp,
		LeaderEpochs: f.LeaderEpochs, ExtractVersion: f.ExtractVersion,
		Parts: []part{{
			FirstOffset: f.FirstOffset, LastOffset: f.LastOffset, Rows: f.Counts.Rows(),
			Seed: f.Seed, RecordRoot: f.RecordRoot, Subtrees: base64.StdEncoding.EncodeToString(raw),
		}},
	}
	return canonical(&text)
}

func canonical(text *footerText) (string, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		return "", fmt.Errorf("encode footer: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// parseFooter reads what encode wrote and refuses, as Corrupt, every other
// spelling and everything that does not fit together.
func parseFooter(raw string) (*Footer, error) {
	var text footerText
	decoder := json.NewDecoder(bytes.NewReader([]byte(raw)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&text); err != nil {
		return nil, schema.Errorf(schema.Corrupt, "parse segment footer: %w", err)
	}
	if text.Format != Format {
		return nil, schema.Errorf(schema.Corrupt, "parse segment footer: format is %q, this version reads %q", text.Format, Format)
	}
	again, err := canonical(&text)
	if err != nil || again != raw {
		return nil, schema.Errorf(schema.Corrupt, "parse segment footer: the text is not canonical")
	}
	if len(text.Parts) != 1 {
		return nil, schema.Errorf(schema.Corrupt, "parse segment footer: %d parts, this version reads one", len(text.Parts))
	}
	only := &text.Parts[0]
	f := &Footer{
		Stream: schema.Stream{Cluster: text.Cluster, Topic: text.Topic, TopicID: text.TopicID, Partition: text.Partition},
		Branch: text.Branch, ExtractVersion: text.ExtractVersion, Counts: text.Records,
		FirstOffset: text.FirstOffset, LastOffset: text.LastOffset,
		MinTimestamp: text.MinTimestamp, MaxTimestamp: text.MaxTimestamp,
		LeaderEpochs: text.LeaderEpochs, Seed: only.Seed, RecordRoot: only.RecordRoot,
	}
	if f.Subtrees, err = parseSubtrees(only.Subtrees); err != nil {
		return nil, err
	}
	return f, f.check(only)
}

func parseSubtrees(text string) ([]schema.Digest, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw)%sha256.Size != 0 {
		return nil, schema.Errorf(schema.Corrupt, "parse segment footer: the subtree hashes are damaged")
	}
	out := make([]schema.Digest, len(raw)/sha256.Size)
	for i := range out {
		copy(out[i][:], raw[i*sha256.Size:])
	}
	return out, nil
}

func (f *Footer) check(only *part) error {
	rows := f.Counts.Rows()
	fault := ""
	switch {
	case f.Stream.TopicID.IsZero() || f.Stream.Topic == "" || f.Stream.Partition < 0 || f.Branch < 0:
		fault = "the stream is not one"
	case f.Counts.Committed < 0 || f.Counts.Aborted < 0 || f.Counts.Control < 0 || rows < 1 || rows > MaxRows:
		fault = "the counts are out of range"
	case f.FirstOffset < 0 || f.LastOffset-f.FirstOffset < rows-1:
		fault = "the offsets do not hold the rows"
	case f.MinTimestamp > f.MaxTimestamp:
		fault = "the timestamps are out of order"
	case only.FirstOffset != f.FirstOffset || only.LastOffset != f.LastOffset || only.Rows != rows:
		fault = "the part is not the whole"
	case int64(len(f.Subtrees)) != (rows+proof.SubtreeLeaves-1)/proof.SubtreeLeaves:
		fault = "the subtree hashes are not as many as the rows need"
	case proof.RootOfSubtrees(f.Subtrees) != f.RecordRoot:
		fault = "the subtree hashes do not give the record root"
	default:
		return nil
	}
	return schema.Errorf(schema.Corrupt, "parse segment footer: %s", fault)
}
