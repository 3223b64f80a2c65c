package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/fx-risk-ai/annals/schema"
	shapes "github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// maxAnswer is the most that a JSON answer may hold, in bytes.
const maxAnswer = 256 << 20

// timeout of a question: longer than the server's own limits, so that it is the
// server that says what took so long. A bag or a value may take any time.
const timeout = 12 * time.Minute

// Client asks one server.
type Client struct {
	server  string
	raw     *requests // with a timeout
	streams *requests // without
	user    string    // who asks; "": nobody
	close   func()
}

// Dial makes a Client for a server such as "http://127.0.0.1:8080"; it does not
// connect yet. Without a scheme http is meant. An address that is none is
// Invalid.
func Dial(server string) (*Client, error) {
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, schema.InvalidField("server", "server %q is no address; want one such as http://127.0.0.1:8080", server)
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     time.Minute,
		MaxIdleConnsPerHost: 4,
	}
	c := &Client{server: u.Scheme + "://" + u.Host, close: transport.CloseIdleConnections}
	base := strings.TrimSuffix(u.String(), "/") + "/api/v1"
	for target, limit := range map[**requests]time.Duration{&c.raw: timeout, &c.streams: 0} {
		*target, err = NewClient(base, WithRequestEditorFn(c.sign), WithHTTPClient(&http.Client{
			Transport: transport, Timeout: limit,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}))
		if err != nil {
			return nil, fmt.Errorf("make client: %w", err)
		}
	}
	return c, nil
}

// As has every question name who asks. Nothing checks the name; "" is nobody. One
// that cannot stand in a header is Invalid. It must come before the first question.
func (c *Client) As(user string) error {
	if strings.ContainsFunc(user, unicode.IsControl) {
		return schema.InvalidField("as", "the user name %q has control characters", user)
	}
	c.user = user
	return nil
}

func (c *Client) sign(_ context.Context, r *http.Request) error {
	if c.user != "" {
		r.Header.Set("Annals-User", c.user)
	}
	return nil
}

// Close ends idle connections.
func (c *Client) Close() { c.close() }

// ProblemError is an error that the server answered with. errors.As finds the
// schema.Error inside, with kind, field and hint.
type ProblemError struct {
	api.Problem
	err error
}

// Error returns the document's detail.
func (p *ProblemError) Error() string { return p.err.Error() }

// Unwrap returns the schema.Error.
func (p *ProblemError) Unwrap() error { return p.err }

// Status asks for the server's state.
func (c *Client) Status(ctx context.Context) (*api.Status, error) {
	return decode[api.Status](c, c.raw.GetStatus)(ctx)
}

// Identify asks what an id is.
func (c *Client) Identify(ctx context.Context, id string) (*api.Identification, error) {
	r, err := c.raw.Identify(ctx, &api.IdentifyParams{Id: id})
	return answer[api.Identification](c, r, err)
}

// Trace asks for a trace.
func (c *Client) Trace(ctx context.Context, id string, params api.GetTraceParams) (*api.Trace, error) {
	r, err := c.raw.GetTrace(ctx, id, &params)
	return answer[api.Trace](c, r, err)
}

// Field asks for one place in the payloads of a trace.
func (c *Client) Field(ctx context.Context, id string, params api.GetFieldHistoryParams) (*api.FieldHistory, error) {
	r, err := c.raw.GetFieldHistory(ctx, id, &params)
	return answer[api.FieldHistory](c, r, err)
}

// Verdict asks whether everything is there of a trace or of a range.
func (c *Client) Verdict(ctx context.Context, params api.GetVerdictParams) (*api.Verdict, error) {
	r, err := c.raw.GetVerdict(ctx, &params)
	return answer[api.Verdict](c, r, err)
}

// Anomalies asks for what differs from how it was.
func (c *Client) Anomalies(ctx context.Context, params api.GetAnomaliesParams) (*api.Anomalies, error) {
	r, err := c.raw.GetAnomalies(ctx, &params)
	return answer[api.Anomalies](c, r, err)
}

// Search asks for a page of records.
func (c *Client) Search(ctx context.Context, params api.SearchRecordsParams) (*api.RecordPage, error) {
	r, err := c.raw.SearchRecords(ctx, &params)
	return answer[api.RecordPage](c, r, err)
}

// Record asks for one record.
func (c *Client) Record(ctx context.Context, at schema.Coordinates, params api.GetRecordParams) (*api.Record, error) {
	r, err := c.raw.GetRecord(ctx, at.Topic, at.Partition, at.Offset, &params)
	return answer[api.Record](c, r, err)
}

// Value writes a record's exact value to w. It reports whether the value is
// null, which is not the empty value.
func (c *Client) Value(ctx context.Context, at schema.Coordinates, params api.GetRecordParams, w io.Writer) (null bool, err error) {
	both := api.GetRecordValueParams(params)
	r, err := c.streams.GetRecordValue(ctx, at.Topic, at.Partition, at.Offset, &both)
	if err != nil {
		return false, c.unreachable(err)
	}
	defer r.Body.Close()
	if r.StatusCode == http.StatusNoContent {
		return true, nil
	}
	return false, c.copyBody(r, w)
}

// Topics asks for every topic.
func (c *Client) Topics(ctx context.Context) (*api.TopicList, error) {
	return decode[api.TopicList](c, c.raw.ListTopics)(ctx)
}

// TopicPolicies asks what holds for topics.
func (c *Client) TopicPolicies(ctx context.Context, params api.ListTopicPoliciesParams) (*api.TopicPolicies, error) {
	r, err := c.raw.ListTopicPolicies(ctx, &params)
	return answer[api.TopicPolicies](c, r, err)
}

// Violations asks which rules records break.
func (c *Client) Violations(ctx context.Context, params api.ListViolationsParams) (*api.ViolationList, error) {
	r, err := c.raw.ListViolations(ctx, &params)
	return answer[api.ViolationList](c, r, err)
}

// CheckContract holds a contract to archived events.
func (c *Client) CheckContract(ctx context.Context, request api.ContractCheckRequest) (*api.ContractCheck, error) {
	r, err := c.raw.CheckContract(ctx, request)
	return answer[api.ContractCheck](c, r, err)
}

// EventTypes asks for the event catalog; for one type if it is not "".
func (c *Client) EventTypes(ctx context.Context, eventType string) (*api.EventTypeList, error) {
	params := &api.ListEventTypesParams{}
	if eventType != "" {
		params.EventType = &eventType
	}
	r, err := c.raw.ListEventTypes(ctx, params)
	return answer[api.EventTypeList](c, r, err)
}

// Coverage asks what is archived of a topic's partitions; of all if topic is "".
func (c *Client) Coverage(ctx context.Context, topic string) (*api.Coverage, error) {
	params := &api.GetCoverageParams{}
	if topic != "" {
		params.Topic = &topic
	}
	r, err := c.raw.GetCoverage(ctx, params)
	return answer[api.Coverage](c, r, err)
}

// Gaps asks for a page of gaps, the newest found first.
func (c *Client) Gaps(ctx context.Context, params api.ListGapsParams) (*api.GapPage, error) {
	r, err := c.raw.ListGaps(ctx, &params)
	return answer[api.GapPage](c, r, err)
}

// DeadRecords asks for a page of what services could not process.
func (c *Client) DeadRecords(ctx context.Context, params api.ListDeadRecordsParams) (*api.DeadRecordPage, error) {
	r, err := c.raw.ListDeadRecords(ctx, &params)
	return answer[api.DeadRecordPage](c, r, err)
}

// DeadRecordGroups asks what it failed of.
func (c *Client) DeadRecordGroups(ctx context.Context, params api.ListDeadRecordGroupsParams) (*api.DeadRecordGroupList, error) {
	r, err := c.raw.ListDeadRecordGroups(ctx, &params)
	return answer[api.DeadRecordGroupList](c, r, err)
}

// PlanRedrive asks for a plan that puts dead letters back.
func (c *Client) PlanRedrive(ctx context.Context, request api.RedriveRequest) (*api.ReplayPlan, error) {
	r, err := c.raw.PlanRedrive(ctx, request)
	return answer[api.ReplayPlan](c, r, err)
}

// DeadChain asks where a record failed and was put back.
func (c *Client) DeadChain(ctx context.Context, at schema.Coordinates) (*api.DeadChain, error) {
	r, err := c.raw.GetDeadChain(ctx, &api.GetDeadChainParams{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset})
	return answer[api.DeadChain](c, r, err)
}

// DeadLetters asks for a page of what Annals could not process.
func (c *Client) DeadLetters(ctx context.Context, params api.ListDeadLettersParams) (*api.DeadLetterPage, error) {
	r, err := c.raw.ListDeadLetters(ctx, &params)
	return answer[api.DeadLetterPage](c, r, err)
}

// Segments asks for the current segments of a topic.
func (c *Client) Segments(ctx context.Context, params api.ListSegmentsParams) (*api.SegmentList, error) {
	r, err := c.raw.ListSegments(ctx, &params)
	return answer[api.SegmentList](c, r, err)
}

// Seal asks the archiver to seal what it holds now.
func (c *Client) Seal(ctx context.Context, wait bool) (*api.SealResult, error) {
	r, err := c.raw.Seal(ctx, &api.SealParams{Wait: &wait})
	return answer[api.SealResult](c, r, err)
}

// Export writes a bag to w, as a tar stream. After an error what was written is
// worthless.
func (c *Client) Export(ctx context.Context, request api.ExportRequest, w io.Writer) error {
	r, err := c.streams.Export(ctx, request)
	if err != nil {
		return c.unreachable(err)
	}
	defer r.Body.Close()
	return c.copyBody(r, w)
}

// Matches writes every record that a search finds to w, and gives what the
// server says of them. After an error what was written is worthless.
func (c *Client) Matches(ctx context.Context, params api.ExportRecordsParams, w io.Writer) (*shapes.Statement, error) {
	r, err := c.streams.ExportRecords(ctx, &params)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer r.Body.Close()
	if err := c.copyBody(r, w); err != nil {
		return nil, err
	}
	var s shapes.Statement
	if err := json.Unmarshal([]byte(r.Trailer.Get("Annals-Statement")), &s); err != nil {
		return nil, schema.WithHint(schema.Errorf(schema.Unavailable, "read answer of %s: its statement did not arrive: %w", c.server, err),
			"a proxy in between may drop trailers; what was written may not be whole")
	}
	return &s, nil
}

// ScanLines are the lines of a scan as they come. Close ends the scan.
type ScanLines struct {
	client *Client
	body   io.ReadCloser
	lines  *bufio.Reader
}

// Scan has the archive itself read.
func (c *Client) Scan(ctx context.Context, params api.ScanRecordsParams) (*ScanLines, error) {
	r, err := c.streams.ScanRecords(ctx, &params)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if r.StatusCode != http.StatusOK {
		defer r.Body.Close()
		return nil, c.problem(r)
	}
	return &ScanLines{c, r.Body, bufio.NewReader(r.Body)}, nil
}

// Next gives the next line, and its text. The last one is that with an End; an
// answer that breaks off before it is an error.
func (s *ScanLines) Next() (*api.ScanLine, []byte, error) {
	raw, err := s.lines.ReadBytes('\n')
	if err != nil {
		return nil, nil, schema.WithHint(schema.Errorf(schema.Unavailable, "read answer of %s: %w", s.client.server, err),
			"the scan broke off; the server's log says why")
	}
	line := &api.ScanLine{}
	if err := json.Unmarshal(raw, line); err != nil {
		return nil, nil, schema.Errorf(schema.Unavailable, "read answer of %s: %w", s.client.server, err)
	}
	return line, raw, nil
}

// Close ends the scan.
func (s *ScanLines) Close() { _ = s.body.Close() } // nothing more is wanted of it

func (c *Client) copyBody(r *http.Response, w io.Writer) error {
	if r.StatusCode != http.StatusOK {
		return c.problem(r)
	}
	if _, err := io.Copy(w, r.Body); err != nil {
		return schema.WithHint(schema.Errorf(schema.Unavailable, "read answer of %s: %w", c.server, err),
			"the answer broke off and is not whole; the server's log says why")
	}
	return nil
}

// decode is answer for operations without parameters.
func decode[T any](c *Client, ask func(context.Context, ...RequestEditorFn) (*http.Response, error)) func(context.Context) (*T, error) {
	return func(ctx context.Context) (*T, error) {
		r, err := ask(ctx)
		return answer[T](c, r, err)
	}
}

// answer reads a JSON answer or a problem.
func answer[T any](c *Client, r *http.Response, err error) (*T, error) {
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer r.Body.Close()
	if r.StatusCode < 200 || r.StatusCode > 299 {
		return nil, c.problem(r)
	}
	body, err := c.body(r)
	if err != nil {
		return nil, err
	}
	out := new(T)
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // payloads' numbers keep every digit
	if err := decoder.Decode(out); err != nil {
		return nil, c.foreign(r, err)
	}
	return out, nil
}

func (c *Client) body(r *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, schema.Errorf(schema.Unavailable, "read answer of %s: %w", c.server, err)
	case len(body) > maxAnswer:
		return nil, schema.WithHint(schema.Errorf(schema.Exhausted, "answer of %s is larger than %d bytes", c.server, maxAnswer), "ask for less")
	}
	return body, nil
}

// problem reads an error answer.
func (c *Client) problem(r *http.Response) error {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/problem+json" {
		return c.foreign(r, fmt.Errorf("content type %q", r.Header.Get("Content-Type")))
	}
	body, err := c.body(r)
	if err != nil {
		return err
	}
	p := &ProblemError{}
	if err := json.Unmarshal(body, &p.Problem); err != nil {
		return c.foreign(r, err)
	}
	known := &schema.Error{Kind: kindOf(p.Type), Err: errors.New(p.Detail)}
	if p.Field != nil {
		known.Field = *p.Field
	}
	if p.Hint != nil {
		known.Hint = *p.Hint
	}
	if known.Kind == schema.Internal {
		known.Err = fmt.Errorf("%s: %s", p.Title, p.Detail)
	}
	p.err = known
	return p
}

// kindOf reads the type that the server writes.
func kindOf(urn string) schema.Kind {
	for kind := schema.Internal; kind <= schema.Exhausted; kind++ {
		if urn == "urn:annals:error:"+kind.String() {
			return kind
		}
	}
	return schema.Internal
}

// unreachable says that nobody answers, unless the asker gave up.
func (c *Client) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("ask %s: %w", c.server, err)
	}
	return schema.WithHint(schema.Errorf(schema.Unavailable, "ask %s: %w", c.server, err),
		"start it with annals up, or name another server with --server")
}

// foreign says that something else answers.
func (c *Client) foreign(r *http.Response, err error) error {
	return schema.WithHint(schema.Errorf(schema.Unavailable, "answer of %s, status %d, is not from Annals' API: %w", c.server, r.StatusCode, err),
		"check the address; a proxy in between may have answered")
}
