package custody

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// The versions of a bag's contents. Format is written unless a source has
// parts, or a gap an object; FormatOpen where it is not known how much was not
// sealed, or a topic was named by its ID.
const (
	Format      = "annals.export/1"
	FormatParts = "annals.export/2"
	FormatOpen  = "annals.export/3"
)

// Files of every bag.
const (
	scopeFile  = "data/scope.json"
	linesFile  = "data/records/records.jsonl"
	reportFile = "data/report/report.html"
)

// maxScopeBytes bounds data/scope.json, when it is written and when it is read.
const maxScopeBytes = 64 << 20

// scope is data/scope.json: what was asked, what the ledger said, and how each
// file's rows are tied to commits. 64-bit numbers are strings.
type scope struct {
	Format     string `json:"format"`
	ID         string `json:"id"`
	Query      query  `json:"query"`
	Records    int64  `json:"records,string"`
	Bytes      int64  `json:"bytes,string"`      // of keys, values and headers
	Unsealed   *int64 `json:"unsealed,string"`   // matched, were indexed, and not in the ledger yet; nil: not known
	Superseded int64  `json:"superseded,string"` // matched, and are not in the ledger's latest view
	// Older are the other topics of the same names, which are not in this bag.
	Older   []incarnation `json:"older_incarnations"`
	Streams []streamScope `json:"streams"` // by topic, topic ID, partition: the order of the lines
}

type incarnation struct {
	Topic   string         `json:"topic"`
	TopicID schema.TopicID `json:"topic_id"`
}

// query is the request as it was understood. Times are RFC 3339.
type query struct {
	TraceID *string  `json:"trace_id"`
	Topics  []string `json:"topics"`
	// TopicID is which topic of the name was asked for; nil: the newest.
	TopicID *schema.TopicID `json:"topic_id,omitempty"`
	From    *string         `json:"from"`
	To      *string         `json:"to"`
	Status  string          `json:"status"`
}

// streamScope is what the ledger says of a partition, and the files with its
// records.
type streamScope struct {
	Cluster   string         `json:"cluster"`
	Topic     string         `json:"topic"`
	TopicID   schema.TopicID `json:"topic_id"`
	Partition int32          `json:"partition"`
	statement
	Selected int64       `json:"selected,string"`
	Files    []fileScope `json:"files"`
}

func (s *streamScope) stream() schema.Stream {
	return schema.Stream{Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition}
}

// fileScope is one Parquet file: the selected records of one branch.
type fileScope struct {
	Path        string   `json:"path"`
	Branch      int32    `json:"branch"`
	Records     int64    `json:"records,string"`
	FirstOffset int64    `json:"first_offset,string"`
	LastOffset  int64    `json:"last_offset,string"`
	Sources     []source `json:"sources"` // by base
}

// source is a segment that records came from. Until is where the latest view
// leaves it. Seed is the segment's, given only if every one of its rows is in
// the file, so that it discloses nothing else: with it the record root can be
// computed again.
type source struct {
	Commit       string        `json:"commit"`
	CommitSHA256 schema.Digest `json:"commit_sha256"`
	Base         int64         `json:"base,string"`
	Until        int64         `json:"until,string"`
	Records      int64         `json:"records,string"`
	Seed         *proof.Seed   `json:"seed"`
	// Parts are those of a segment that was joined from several, all of them,
	// if the file has every row of at least one; Seed is null then.
	Parts []sourcePart `json:"parts,omitempty"`
}

// sourcePart is a range of a source's rows with a record root of its own. Seed
// is given only if every one of its rows is in the file.
type sourcePart struct {
	FirstOffset int64         `json:"first_offset,string"`
	LastOffset  int64         `json:"last_offset,string"`
	Rows        int64         `json:"rows,string"`
	RecordRoot  schema.Digest `json:"record_root"`
	Seed        *proof.Seed   `json:"seed"`
}

func commitFile(c *schema.Commit) string {
	return fmt.Sprintf("data/commits/%s/%05d/%020d.json", c.TopicID, c.Partition, c.Seq)
}

func recordsFile(s schema.Stream, branch int32) string {
	name := fmt.Sprintf("data/records/%s/%s/%05d", schema.EscapeTopic(s.Topic), s.TopicID, s.Partition)
	if branch > 0 {
		name += fmt.Sprintf(".branch-%d", branch)
	}
	return name + ".parquet"
}

// queryOf is a request as it was understood; traceID is as the records spell it.
func queryOf(r *answer.ExportRequest, traceID string) query {
	text := func(t time.Time) *string {
		if t.IsZero() {
			return nil
		}
		s := clock(t)
		return &s
	}
	q := query{Topics: append([]string{}, r.Topics...), TopicID: r.TopicID, From: text(r.From), To: text(r.To), Status: schema.Committed.String()}
	if r.TraceID != "" {
		q.TraceID = &traceID
	}
	return q
}

// window is the time range that the query asked for.
func (q *query) window() (window, error) {
	var r answer.ExportRequest
	for text, at := range map[*string]*time.Time{q.From: &r.From, q.To: &r.To} {
		if text == nil {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, *text)
		if err != nil {
			return window{}, fmt.Errorf("parse time: %w", err)
		}
		*at = t
	}
	return windowOf(&r), nil
}

// exportID names an export by the query and the heads of the chains it was
// answered from: the same question at the same state has the same id.
func exportID(q query, streams []streamScope) (string, error) {
	type head struct {
		Stream schema.Stream
		Head   chainHead
	}
	heads := make([]head, len(streams))
	for i := range streams {
		heads[i] = head{streams[i].stream(), streams[i].Head}
	}
	raw, err := json.Marshal([]any{Format, q, heads})
	if err != nil {
		return "", fmt.Errorf("name export: %w", err)
	}
	sum := schema.Digest(sha256.Sum256(raw))
	return sum.String()[:16], nil
}

func (s *scope) encode() ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(s); err != nil {
		return nil, fmt.Errorf("encode %s: %w", scopeFile, err)
	}
	if buffer.Len() > maxScopeBytes {
		return nil, schema.WithHint(schema.Errorf(schema.Exhausted, "%s would have %d bytes, at most %d",
			scopeFile, buffer.Len(), maxScopeBytes), "narrow the export: fewer topics, or a shorter time range")
	}
	return buffer.Bytes(), nil
}

// errOtherFormat: the bag is of a version that this one does not read.
var errOtherFormat = errors.New("another version of the format")

func parseScope(raw []byte) (*scope, error) {
	var version struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	if !slices.Contains([]string{Format, FormatParts, FormatOpen}, version.Format) {
		return nil, fmt.Errorf("%w: %q, this version reads %q, %q and %q", errOtherFormat, version.Format, Format, FormatParts, FormatOpen)
	}
	var s scope
	if err := schema.DecodeStrictly(raw, &s); err != nil {
		return nil, fmt.Errorf("is not a scope: %w", err)
	}
	if s.Format != s.format() {
		return nil, fmt.Errorf("is written as %s and says %q", s.format(), s.Format)
	}
	return &s, nil
}

// format is the version that the scope has to be written in.
func (s *scope) format() string {
	if s.Unsealed == nil || s.Query.TopicID != nil {
		return FormatOpen
	}
	for _, stream := range s.Streams {
		if slices.ContainsFunc(stream.Gaps, func(g gap) bool { return g.Object != nil }) {
			return FormatParts
		}
		for _, f := range stream.Files {
			for _, source := range f.Sources {
				if len(source.Parts) > 0 {
					return FormatParts
				}
			}
		}
	}
	return Format
}
