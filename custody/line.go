package custody

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// line is one record in data/records/records.jsonl. Base64 fields are the
// exact bytes, null for null. Text fields repeat them where they are UTF-8, and
// document where they are JSON, as canonical JSON; they are null otherwise.
type line struct {
	Topic         string          `json:"topic"`
	TopicID       schema.TopicID  `json:"topic_id"`
	Partition     int32           `json:"partition"`
	Branch        int32           `json:"branch"`
	Offset        int64           `json:"offset"`
	LeaderEpoch   int32           `json:"leader_epoch"`
	Timestamp     int64           `json:"timestamp"` // milliseconds since the Unix epoch
	Time          *string         `json:"time"`      // the same, RFC 3339; null outside the years 0 to 9999
	TimestampType string          `json:"timestamp_type"`
	ProducerID    int64           `json:"producer_id"`
	ProducerEpoch int16           `json:"producer_epoch"`
	Status        string          `json:"status"`
	Key           []byte          `json:"key_base64"`
	KeyText       *string         `json:"key_text"`
	Value         []byte          `json:"value_base64"`
	ValueFormat   string          `json:"value_format"` // json, opaque or null
	ValueText     *string         `json:"value_text"`   // unless it is JSON
	Document      json.RawMessage `json:"document"`
	Headers       []lineHeader    `json:"headers"`
	Extracted     extracted       `json:"extracted"`
}

type lineHeader struct {
	Name      *string `json:"name"`
	NameBytes []byte  `json:"name_base64"`
	Value     []byte  `json:"value_base64"`
	ValueText *string `json:"value_text"`
}

// extracted is what the rules read from the record. Empty is absent.
type extracted struct {
	EventID       string   `json:"event_id"`
	EventType     string   `json:"event_type"`
	EventVersion  string   `json:"event_version"`
	SourceService string   `json:"source_service"`
	TraceID       string   `json:"trace_id"`
	SpanID        string   `json:"span_id"`
	Parents       []string `json:"parents"`
	EventTime     *string  `json:"event_time"`
	Stage         string   `json:"stage"`
	SchemaID      *int32   `json:"schema_id"`
	Errors        []string `json:"errors"`
}

func lineOf(row *segment.Row) *line {
	l := &line{
		Topic: row.Topic, TopicID: row.TopicID, Partition: row.Partition, Branch: row.Branch, Offset: row.Offset,
		LeaderEpoch: row.LeaderEpoch, Timestamp: row.Timestamp, Time: moment(time.UnixMilli(row.Timestamp)),
		TimestampType: row.TimestampType.String(), ProducerID: row.ProducerID, ProducerEpoch: row.ProducerEpoch,
		Status: row.Status.String(), Key: row.Key, KeyText: textOf(row.Key), Value: row.Value,
		Document: json.RawMessage("null"), Headers: make([]lineHeader, len(row.Headers)), Extracted: extractedOf(&row.X),
	}
	doc, format, err := payload.Decode(row.Value)
	if err != nil { // too large to decode: the bytes are there all the same
		doc, format = nil, payload.Opaque
	}
	l.ValueFormat = format
	if format == payload.JSON {
		l.Document = payload.Canonical(doc)
	} else {
		l.ValueText = textOf(row.Value)
	}
	for i, h := range row.Headers {
		l.Headers[i] = lineHeader{Name: textOf([]byte(h.Name)), NameBytes: []byte(h.Name), Value: h.Value, ValueText: textOf(h.Value)}
	}
	return l
}

func extractedOf(x *schema.Extraction) extracted {
	out := extracted{
		EventID: x.EventID, EventType: x.EventType, EventVersion: x.EventVersion, SourceService: x.SourceService,
		TraceID: x.TraceID, SpanID: x.SpanID, Parents: []string{}, Stage: x.Stage.String(), Errors: append([]string{}, x.Errors...),
	}
	for _, c := range x.Causes {
		out.Parents = append(out.Parents, c.String())
	}
	if x.HasEventTime {
		out.EventTime = moment(time.UnixMicro(x.EventTime))
	}
	if x.HasSchemaID {
		id := x.SchemaID
		out.SchemaID = &id
	}
	return out
}

func textOf(b []byte) *string {
	if b == nil || !utf8.Valid(b) {
		return nil
	}
	s := string(b)
	return &s
}

// moment is null outside the years that RFC 3339 can write.
func moment(t time.Time) *string {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return nil
	}
	s := clock(t)
	return &s
}

// lineWriter writes rows as lines.
type lineWriter struct{ encoder *json.Encoder }

func newLineWriter(w io.Writer) *lineWriter {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return &lineWriter{encoder}
}

func (w *lineWriter) write(row *segment.Row) error {
	if err := w.encoder.Encode(lineOf(row)); err != nil {
		return fmt.Errorf("write line of %s/%d/%d: %w", row.Topic, row.Partition, row.Offset, err)
	}
	return nil
}

// maxLine bounds the line that a row may have: twice base64, text and document,
// each with every character escaped.
func maxLine(row *segment.Row) int64 {
	x := int64(len(row.X.EventID) + len(row.X.EventType) + len(row.X.EventVersion) + len(row.X.SourceService) +
		len(row.X.TraceID) + len(row.X.SpanID))
	for _, c := range row.X.Causes {
		x += int64(len(c.ID)) + 16
	}
	for _, e := range row.X.Errors {
		x += int64(len(e)) + 16
	}
	return 4096 + 6*int64(len(row.Topic)) + 16*row.Bytes() + 128*int64(len(row.Headers)) + 6*x
}

// lineChecker holds lines against rows. Its memory serves one after another.
type lineChecker struct {
	own    bytes.Buffer
	writer *lineWriter
}

func newLineChecker() *lineChecker {
	c := &lineChecker{}
	c.writer = newLineWriter(&c.own)
	return c
}

// check holds a line against the row that it has to be of. What this version
// would write is right at once; otherwise values are compared, not spellings:
// encoders may change how they escape.
func (c *lineChecker) check(raw []byte, row *segment.Row) error {
	c.own.Reset()
	if err := c.writer.write(row); err != nil {
		return err
	}
	if bytes.Equal(raw, c.own.Bytes()) {
		return nil
	}
	return compareLine(raw, row)
}

func compareLine(raw []byte, row *segment.Row) error {
	var got line
	if err := schema.DecodeStrictly(raw, &got); err != nil {
		return fmt.Errorf("is not a record: %w", err)
	}
	want := lineOf(row)
	if reflect.DeepEqual(&got, want) {
		return nil
	}
	g, w := reflect.ValueOf(got), reflect.ValueOf(*want)
	for i := range g.NumField() {
		if !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			return fmt.Errorf("differs in %s", g.Type().Field(i).Tag.Get("json"))
		}
	}
	return nil
}
