package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// SearchRecords implements [api.StrictServerInterface].
func (o *operations) SearchRecords(ctx context.Context, r api.SearchRecordsRequestObject) (api.SearchRecordsResponseObject, error) {
	request, err := searchRequest(&r.Params)
	if err != nil {
		return nil, err
	}
	page, err := o.services.Queries.Search(ctx, callOf(ctx).who, request)
	if err != nil {
		return nil, err
	}
	return api.SearchRecords200JSONResponse(pageOf(page)), nil
}

func searchRequest(p *api.SearchRecordsParams) (answer.SearchRequest, error) {
	request := answer.SearchRequest{
		From: value(p.From), To: value(p.To), Topics: value(p.Topic),
		EventType: value(p.EventType), Service: value(p.Service), Stage: value(p.Stage),
		ID: strings.TrimSpace(value(p.Id)), Limit: value(p.Limit), Cursor: value(p.Cursor),
		Query: value(p.Q), Violation: value(p.Violation),
	}
	var err error
	if request.TopicID, err = parseID(p.TopicId); err != nil {
		return request, err
	}
	if err := timeRange(request.From, request.To); err != nil {
		return request, err
	}
	if _, known := schema.ParseStage(request.Stage); request.Stage != "" && !known {
		return request, schema.InvalidField("stage", "stage %.32q is none of ingestion, enrichment, transformation, delivery, dead-letter, replay, unknown", request.Stage)
	}
	status := value(p.Status)
	if status == api.SearchRecordsParamsStatusAll {
		request.Statuses = []schema.Status{schema.Committed, schema.Aborted, schema.Control}
		return request, nil
	}
	parsed, err := schema.ParseStatus(string(status))
	if err != nil {
		return request, schema.InvalidField("status", "%w", err)
	}
	request.Statuses = []schema.Status{parsed}
	return request, nil
}

// statementTrailer is the header after the body of an export of matches.
const statementTrailer = "Annals-Statement"

// ExportRecords implements [api.StrictServerInterface].
func (o *operations) ExportRecords(ctx context.Context, r api.ExportRecordsRequestObject) (api.ExportRecordsResponseObject, error) {
	p := r.Params
	request, err := searchRequest(&api.SearchRecordsParams{
		From: p.From, To: p.To, Topic: p.Topic, TopicId: p.TopicId, EventType: p.EventType, Service: p.Service,
		Stage: p.Stage, Violation: p.Violation, Status: (*api.SearchRecordsParamsStatus)(p.Status), Id: p.Id, Q: p.Q,
	})
	if err != nil {
		return nil, err
	}
	format := answer.Format(p.Format)
	types := map[answer.Format]string{answer.NDJSON: "application/x-ndjson", answer.CSV: "text/csv; charset=utf-8", answer.Parquet: "application/vnd.apache.parquet"}
	d := download{ctx: ctx, contentType: types[format], name: "annals-records." + string(format), trailer: statementTrailer}
	return matches{d, func(w io.Writer) (*answer.Statement, error) {
		c := callOf(ctx)
		c.taking = true
		statement, err := o.services.Queries.Matches(ctx, c.who, request, format, w)
		if statement != nil {
			c.records = statement.Records
		}
		return statement, err
	}}, nil
}

// matches is an export of what a search finds.
type matches struct {
	download
	export func(io.Writer) (*answer.Statement, error)
}

// VisitExportRecordsResponse implements [api.ExportRecordsResponseObject].
func (m matches) VisitExportRecordsResponse(w http.ResponseWriter) error {
	var statement *answer.Statement
	m.write = func(out io.Writer) (err error) {
		statement, err = m.export(out)
		return err
	}
	if err := m.send(w); err != nil {
		return err
	}
	text, err := json.Marshal(statement)
	if err != nil {
		return &brokenError{fmt.Errorf("write statement: %w", err)}
	}
	w.Header().Set(statementTrailer, string(text))
	return nil
}

// ScanRecords implements [api.StrictServerInterface].
func (o *operations) ScanRecords(ctx context.Context, r api.ScanRecordsRequestObject) (api.ScanRecordsResponseObject, error) {
	request := answer.ScanRequest{Query: r.Params.Q, Limit: value(r.Params.Limit)}
	return scanLines{download{ctx: ctx, contentType: "application/x-ndjson"}, func(tell func(*answer.Hit, *answer.ScanProgress) error) (*answer.Scan, error) {
		return o.services.Queries.Scan(ctx, callOf(ctx).who, request, tell)
	}}, nil
}

// scanLines are the lines of a scan, each sent when it is there.
type scanLines struct {
	download
	scan func(tell func(*answer.Hit, *answer.ScanProgress) error) (*answer.Scan, error)
}

// VisitScanRecordsResponse implements [api.ScanRecordsResponseObject].
func (s scanLines) VisitScanRecordsResponse(w http.ResponseWriter) error {
	out := &lateWriter{w: w, d: s.download}
	lines := json.NewEncoder(out)
	flushed := time.Now()
	c := callOf(s.ctx)
	c.taking, c.records = true, 0
	end, err := s.scan(func(hit *answer.Hit, p *answer.ScanProgress) error {
		line := api.ScanLine{}
		if hit != nil {
			record := hitOf(hit)
			line.Record = &record
			c.records++
		} else {
			progress := progressOf(p)
			line.Progress = &progress
		}
		if err := lines.Encode(line); err != nil {
			return err
		}
		if hit != nil && time.Since(flushed) < flushEvery {
			return nil
		}
		flushed = time.Now()
		return c.control.Flush()
	})
	if err == nil {
		last := scanEndOf(end)
		err = lines.Encode(api.ScanLine{End: &last})
	}
	if err != nil && out.begun {
		return &brokenError{err}
	}
	return err
}

// flushEvery bounds how long a record that was found waits for others.
const flushEvery = 100 * time.Millisecond

func progressOf(p *answer.ScanProgress) api.ScanProgress {
	return api.ScanProgress{
		Segments: p.Segments, OfSegments: p.OfSegments, Records: p.Records, OfRecords: p.OfRecords, Bytes: p.Bytes, OfBytes: p.OfBytes,
	}
}

func scanEndOf(s *answer.Scan) api.ScanEnd {
	out := api.ScanEnd{
		Read: progressOf(&s.ScanProgress), Found: s.Found, Stopped: optional(api.ScanEndStopped(s.Stopped)), Opaque: s.Opaque, Withheld: s.Withheld,
		Complete: s.Stopped == "" && s.Unsealed == 0 && s.Opaque == 0 && s.Withheld == 0 && len(s.Unknown) == 0, UnknownTopics: some(each(s.Unknown, unknownOf)),
	}
	if s.Unsealed >= 0 {
		out.Unsealed = &s.Unsealed
	}
	return out
}
