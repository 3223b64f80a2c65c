package readers_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// row is one row of a segment, as every reader is made to print it: bytes in
// base64, times as the numbers in the file.
type row struct {
	Topic         string `json:"topic"`
	TopicID       string `json:"topic_id"`
	Partition     int32  `json:"partition"`
	Branch        int32  `json:"branch"`
	Offset        int64  `json:"offset"`
	LeaderEpoch   int32  `json:"leader_epoch"`
	Timestamp     int64  `json:"timestamp"` // milliseconds
	TimestampType string `json:"timestamp_type"`
	ProducerID    int64  `json:"producer_id"`
	ProducerEpoch int16  `json:"producer_epoch"`
	Status        string `json:"status"`

	Key     *string     `json:"key"`
	Value   *string     `json:"value"`
	Headers [][]*string `json:"headers"` // pairs of name and value

	EventID        *string  `json:"event_id"`
	EventType      *string  `json:"event_type"`
	EventVersion   *string  `json:"event_version"`
	SourceService  *string  `json:"source_service"`
	TraceID        *string  `json:"trace_id"`
	SpanID         *string  `json:"span_id"`
	ParentIDs      []string `json:"parent_ids"`
	EventTime      *int64   `json:"event_time"` // microseconds
	Stage          *string  `json:"stage"`
	SchemaID       *int32   `json:"schema_id"`
	ContractErrors []string `json:"contract_errors"`

	ProofKey     *string `json:"proof_key"`
	ProofValue   *string `json:"proof_value"`
	ProofHeaders *string `json:"proof_headers"`
	ProofSeed    *string `json:"proof_seed"`
}

func rowOf(r *segment.Row) row {
	out := row{
		Topic: r.Topic, TopicID: r.TopicID.String(), Partition: r.Partition, Branch: r.Branch, Offset: r.Offset,
		LeaderEpoch: r.LeaderEpoch, Timestamp: r.Timestamp, TimestampType: r.TimestampType.String(),
		ProducerID: r.ProducerID, ProducerEpoch: r.ProducerEpoch, Status: r.Status.String(),
		Key: base64Of(r.Key), Value: base64Of(r.Value), Headers: [][]*string{},
		EventID: textOf(r.X.EventID), EventType: textOf(r.X.EventType), EventVersion: textOf(r.X.EventVersion),
		SourceService: textOf(r.X.SourceService), TraceID: textOf(r.X.TraceID), SpanID: textOf(r.X.SpanID),
		ParentIDs: []string{}, ContractErrors: append([]string{}, r.X.Errors...),
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, []*string{base64Of([]byte(h.Name)), base64Of(h.Value)})
	}
	for _, c := range r.X.Causes {
		out.ParentIDs = append(out.ParentIDs, c.String())
	}
	if r.X.HasEventTime {
		out.EventTime = &r.X.EventTime
	}
	if r.X.Stage != schema.StageUnknown {
		out.Stage = textOf(r.X.Stage.String())
	}
	if r.X.HasSchemaID {
		out.SchemaID = &r.X.SchemaID
	}
	return out
}

// base64Of tells null from empty.
func base64Of(b []byte) *string {
	if b == nil {
		return nil
	}
	text := base64.StdEncoding.EncodeToString(b)
	return &text
}

// textOf gives null for what a segment keeps as null.
func textOf(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// compareRows holds what a reader printed against what was written.
func compareRows(t *testing.T, printed string, written []row) {
	t.Helper()
	for _, d := range differences(printed, written) {
		t.Error(d)
	}
}

// differences compares rows that were printed, one JSON object a line in any
// order, with those that were written.
func differences(printed string, written []row) (found []string) {
	type position struct {
		partition int32
		offset    int64
	}
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	want := map[position]row{}
	for _, w := range written {
		want[position{w.Partition, w.Offset}] = w
	}
	for line := range strings.Lines(printed) {
		var got row
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&got); err != nil {
			say("a row is not as it should be: %v in %.300s", err, line)
			continue
		}
		at := position{got.Partition, got.Offset}
		w, ok := want[at]
		if !ok {
			say("%d/%d was not written, or was read twice", at.partition, at.offset)
			continue
		}
		delete(want, at)
		if !reflect.DeepEqual(got, w) {
			say("%d/%d is read as\n%s\nand was written as\n%s", at.partition, at.offset, short(got), short(w))
		}
	}
	for at := range want {
		say("%d/%d was written and not read", at.partition, at.offset)
	}
	if len(written) == 0 {
		say("nothing was written")
	}
	return found
}

func short(r row) string {
	raw, _ := json.Marshal(r) // it came from JSON
	return fmt.Sprintf("%.1500s", raw)
}

func TestComparisonFindsDifferences(t *testing.T) {
	rows := oddRows(0)
	var written []row
	var lines []string
	for i := range rows[:30] {
		written = append(written, rowOf(&rows[i]))
		raw, err := json.Marshal(written[i])
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(raw)+"\n")
	}
	if found := differences(strings.Join(lines, ""), written); len(found) > 0 {
		t.Fatalf("the same rows differ: %.500s", found)
	}
	for name, change := range map[string]func(*row){
		"null for empty":      func(r *row) { r.Key = nil },
		"headers in disorder": func(r *row) { r.Headers[0], r.Headers[1] = r.Headers[1], r.Headers[0] },
		"a millisecond":       func(r *row) { r.Timestamp++ },
		"another status":      func(r *row) { r.Status = "aborted" },
		"an extracted field":  func(r *row) { r.SchemaID = new(int32) },
		"another offset":      func(r *row) { r.Offset++ },
	} {
		i := 1 // empty key and value
		if name == "headers in disorder" {
			i = 4
		}
		other := rowOf(&rows[i])
		change(&other)
		raw, _ := json.Marshal(other) // as above
		printed := strings.Join(append(slices.Clone(lines[:i]), append([]string{string(raw) + "\n"}, lines[i+1:]...)...), "")
		if len(differences(printed, written)) == 0 {
			t.Errorf("%s is not noticed", name)
		}
	}
	if len(differences(strings.Join(lines[1:], ""), written)) != 1 || len(differences(strings.Join(lines, "")+lines[3], written)) != 1 {
		t.Error("a row that is missing, or is there twice, is not noticed")
	}
}
