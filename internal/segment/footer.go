package segment

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// The versions of the segment format. A segment of one part is written in the
// first, so that what reads only that reads every segment as it was sealed;
// one of several in the second.
const (
	Format       = "annals.segment/1"
	FormatJoined = "annals.segment/2"
)

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
	RecordRoot     schema.Digest // RecordRoot of Parts
	Parts          []Part        // by offset; one seed and tree for each segment that was joined
	Rewrite        string        // which rewrite wrote the file; empty with one part
}

// footerText is the footer's canonical JSON.
type footerText struct {
	Format         string               `json:"format"`
	Rewrite        string               `json:"rewrite,omitempty"`
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
	Parts          partList             `json:"parts"`
}

func (f *Footer) encode() (string, error) {
	text := footerText{
		Format: Format, Cluster: f.Stream.Cluster, Topic: f.Stream.Topic, TopicID: f.Stream.TopicID,
		Partition: f.Stream.Partition, Branch: f.Branch, Records: f.Counts,
		FirstOffset: f.FirstOffset, LastOffset: f.LastOffset,
		MinTimestamp: f.MinTimestamp, MaxTimestamp: f.MaxTimestamp,
		LeaderEpochs: f.LeaderEpochs, ExtractVersion: f.ExtractVersion,
	}
	if len(f.Parts) > 1 {
		text.Format, text.Rewrite = FormatJoined, f.Rewrite
	}
	for i := range f.Parts {
		text.Parts = append(text.Parts, f.Parts[i].text())
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
	if err := schema.DecodeStrictly([]byte(raw), &text); err != nil {
		return nil, schema.Newer([]byte(raw), schema.Errorf(schema.Corrupt, "parse segment footer: %w", err), Format, FormatJoined)
	}
	if err := schema.CheckFormat(text.Format, Format, FormatJoined); err != nil {
		return nil, fmt.Errorf("parse segment footer: %w", err)
	}
	again, err := canonical(&text)
	if err != nil || again != raw {
		return nil, schema.Errorf(schema.Corrupt, "parse segment footer: the text is not canonical")
	}
	if one := text.Format == Format; one != (len(text.Parts) == 1) || one != (text.Rewrite == "") || !one && !rewriteID.MatchString(text.Rewrite) {
		return nil, schema.Errorf(schema.Corrupt, "parse segment footer: %d parts by rewrite %.40q do not make a %s", len(text.Parts), text.Rewrite, text.Format)
	}
	f := &Footer{
		Stream: schema.Stream{Cluster: text.Cluster, Topic: text.Topic, TopicID: text.TopicID, Partition: text.Partition},
		Branch: text.Branch, ExtractVersion: text.ExtractVersion, Counts: text.Records,
		FirstOffset: text.FirstOffset, LastOffset: text.LastOffset,
		MinTimestamp: text.MinTimestamp, MaxTimestamp: text.MaxTimestamp,
		LeaderEpochs: text.LeaderEpochs, Rewrite: text.Rewrite, Parts: make([]Part, len(text.Parts)),
	}
	for i := range text.Parts {
		if f.Parts[i], err = text.Parts[i].parse(); err != nil {
			return nil, err
		}
	}
	f.RecordRoot = RecordRoot(f.Parts)
	return f, f.check()
}

// rewriteID is how a rewrite may be named.
var rewriteID = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

func (f *Footer) check() error {
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
	default:
		fault = checkParts(f.Parts, f.FirstOffset, f.LastOffset, rows)
	}
	if fault == "" {
		return nil
	}
	return schema.Errorf(schema.Corrupt, "parse segment footer: %s", fault)
}
