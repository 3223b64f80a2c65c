package query

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Matches writes every record that a search finds, newest first, a page at a
// time: what is held does not grow with what is found. Records that are not
// sealed are left out, and counted. It ends with the statement, which is in the
// file too where the format has a place for it; after an error what was written
// is worthless. Limit and Cursor must be zero.
func (e *Engine) Matches(ctx context.Context, who policy.Principal, request answer.SearchRequest, format answer.Format, w io.Writer) (*answer.Statement, error) {
	if request.Limit != 0 || request.Cursor != "" {
		return nil, schema.InvalidField("limit", "an export holds everything that is found: limit and cursor are for pages")
	}
	ctx = index.WithTurn(ctx, index.Bulk)
	out, err := newMatchWriter(format, w)
	if err != nil {
		return nil, err
	}
	s := &answer.Statement{At: time.Now().UTC(), Complete: true, Notes: []string{}}
	request.Limit = MaxPage
	// What is sealed by now counts, not what was a second ago.
	if _, err := e.catalogSince(ctx, s.At); err != nil {
		return nil, err
	}
	for {
		page, err := e.Search(ctx, who, request)
		if err != nil {
			return nil, err
		}
		s.Topics, s.FreshTo, s.SealedTo = page.Searched.Topics, page.Searched.FreshTo, page.Searched.SealedTo
		if page.Note != "" && !slices.Contains(s.Notes, page.Note) {
			s.Notes = append(s.Notes, page.Note)
			s.Complete = false
		}
		for i := range page.Records {
			h := &page.Records[i]
			if !h.Sealed {
				s.Unsealed++
				continue
			}
			s.Records++
			if err := out.record(h); err != nil {
				return nil, err
			}
		}
		if request.Cursor = page.NextCursor; request.Cursor == "" {
			break
		}
	}
	if s.Unsealed > 0 {
		s.Complete = false
		s.Notes = append(s.Notes, fmt.Sprintf("%d records that match are not sealed yet and left out", s.Unsealed))
	}
	return s, out.end(s)
}

// matchWriter writes one format.
type matchWriter interface {
	record(h *answer.Hit) error
	end(s *answer.Statement) error
}

// matchColumns are the columns of every format, in order.
var matchColumns = []segment.TableColumn{
	{Name: "topic", Kind: segment.TableText},
	{Name: "topic_id", Kind: segment.TableText},
	{Name: "partition", Kind: segment.TableInteger},
	{Name: "branch", Kind: segment.TableInteger},
	{Name: "offset", Kind: segment.TableInteger},
	{Name: "timestamp", Kind: segment.TableMillis},
	{Name: "event_time", Kind: segment.TableMicros},
	{Name: "status", Kind: segment.TableText},
	{Name: "stage", Kind: segment.TableText},
	{Name: "event_type", Kind: segment.TableText},
	{Name: "event_version", Kind: segment.TableText},
	{Name: "source_service", Kind: segment.TableText},
	{Name: "trace_id", Kind: segment.TableText},
	{Name: "event_id", Kind: segment.TableText},
	{Name: "errors", Kind: segment.TableText},
	{Name: "bytes", Kind: segment.TableInteger},
}

// matchValues are a hit's values in the columns' order; nil is absent.
func matchValues(h *answer.Hit) []any {
	text := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	var eventTime any
	if h.HasEventTime {
		eventTime = h.EventTime
	}
	return []any{
		h.Topic, h.TopicID.String(), int64(h.Partition), int64(h.Branch), h.Offset, h.Timestamp, eventTime,
		h.Status.String(), h.Stage.String(), text(h.EventType), text(h.EventVersion), text(h.Service),
		text(h.TraceID), text(h.EventID), text(strings.Join(h.Errors, " ")), h.Bytes,
	}
}

func newMatchWriter(format answer.Format, w io.Writer) (matchWriter, error) {
	switch format {
	case answer.NDJSON:
		return &ndjsonMatches{bufio.NewWriter(w)}, nil
	case answer.CSV:
		out := csv.NewWriter(w)
		head := make([]string, len(matchColumns))
		for i, c := range matchColumns {
			head[i] = c.Name
		}
		return &csvMatches{out}, out.Write(head)
	case answer.Parquet:
		out, err := segment.NewTableWriter(w, matchColumns)
		return &parquetMatches{out}, err
	default:
		return nil, schema.InvalidField("format", "format %.32q: want ndjson, csv or parquet", format)
	}
}

// instantText writes a number of milliseconds or microseconds as RFC 3339, or as
// the number where that has no year for it.
func instantText(kind segment.TableKind, n int64) string {
	t, layout := time.UnixMilli(n).UTC(), "2006-01-02T15:04:05.000Z07:00"
	if kind == segment.TableMicros {
		t, layout = time.UnixMicro(n).UTC(), "2006-01-02T15:04:05.000000Z07:00"
	}
	if year := t.Year(); year < 1 || year > 9999 {
		return strconv.FormatInt(n, 10)
	}
	return t.Format(layout)
}

type ndjsonMatches struct{ w *bufio.Writer }

// record writes an object with its members in the columns' order; what is absent
// has no member.
func (m *ndjsonMatches) record(h *answer.Hit) error {
	begin := byte('{')
	for i, v := range matchValues(h) {
		c := matchColumns[i]
		n, isNumber := v.(int64)
		switch {
		case v == nil:
			continue
		case isNumber && c.Kind != segment.TableInteger:
			v = instantText(c.Kind, n)
		}
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("write record: %w", err)
		}
		_ = m.w.WriteByte(begin) // Flush tells of errors
		fmt.Fprintf(m.w, "%q:%s", c.Name, text)
		begin = ','
	}
	_, err := m.w.WriteString("}\n")
	return err
}

func (m *ndjsonMatches) end(s *answer.Statement) error {
	text, err := json.Marshal(map[string]*answer.Statement{"statement": s})
	if err != nil {
		return fmt.Errorf("write statement: %w", err)
	}
	_, _ = m.w.Write(append(text, '\n')) // Flush tells of errors
	return m.w.Flush()
}

type csvMatches struct{ w *csv.Writer }

func (m *csvMatches) record(h *answer.Hit) error {
	values := matchValues(h)
	line := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case string:
			line[i] = harmless(v)
		case int64:
			if line[i] = strconv.FormatInt(v, 10); matchColumns[i].Kind != segment.TableInteger {
				line[i] = instantText(matchColumns[i].Kind, v)
			}
		}
	}
	return m.w.Write(line)
}

// harmless keeps a spreadsheet from taking a producer's text for a formula, by
// the apostrophe that spreadsheets know for "text".
func harmless(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

func (m *csvMatches) end(*answer.Statement) error {
	m.w.Flush()
	return m.w.Error()
}

type parquetMatches struct{ w *segment.TableWriter }

func (m *parquetMatches) record(h *answer.Hit) error { return m.w.Append(matchValues(h)...) }

func (m *parquetMatches) end(s *answer.Statement) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write statement: %w", err)
	}
	return m.w.Close(map[string]string{"annals.statement": string(text)})
}
