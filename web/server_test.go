package web_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/term"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var topicID = schema.TopicID{1, 2, 3}

// archive answers for the services with a handful of records: what is under
// test is what stands between it and the client.
type archive struct {
	mu      sync.Mutex
	asked   any // the last request that came through
	export  func(ctx context.Context, w io.Writer) error
	trouble map[string]string
}

func (a *archive) note(request any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = request
}

func (a *archive) last() any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

var noon = time.Date(2026, 4, 13, 12, 0, 0, 0, time.UTC)

func hit(offset int64) answer.Hit {
	return answer.Hit{
		Topic: "fx.rates", TopicID: topicID, Partition: 1, Offset: offset, Timestamp: noon.UnixMilli(),
		Status: schema.Committed, Sealed: true, Stage: schema.StageIngestion, TraceID: "known",
	}
}

func (a *archive) Trace(_ context.Context, who policy.Principal, r answer.TraceRequest) (*answer.Trace, error) {
	a.note(r)
	switch {
	case !who.Topics.Allows("fx.rates"):
		return nil, schema.Errorf(schema.Internal, "the principal got lost")
	case r.TraceID == "panic":
		panic("a bug")
	case r.TraceID != "known":
		return nil, &answer.NotFoundError{
			Searched: answer.Searched{Topics: 5, Records: 1234, FreshTo: noon},
			Err:      schema.WithHint(schema.Errorf(schema.NotFound, "no record names %s", r.TraceID), "look at the time range"),
		}
	}
	return &answer.Trace{TraceID: "known", Hops: []answer.Hop{
		{Hit: hit(1)},
		{Hit: hit(2), Depth: 1, Diff: &answer.Diff{Comparable: true, Changes: []answer.Change{
			{Op: "add", Path: "/n", To: []byte("12345678901234567890.10")},
			{Op: "change", Path: "/m", From: []byte("null"), To: []byte("1")},
		}}},
	}, Edges: []answer.Edge{
		{Child: 1, Parent: 0, Kind: "caused_by", Declared: true, Confidence: 1, Primary: true},
		{Child: 1, Kind: "derived_from", Outside: &answer.Outside{Ghost: true, ID: "gone"}},
	}}, nil
}

func (a *archive) Identify(_ context.Context, _ policy.Principal, id string) (*answer.Identification, error) {
	a.note(id)
	return &answer.Identification{ID: id}, nil
}

func (a *archive) Search(_ context.Context, _ policy.Principal, r answer.SearchRequest) (*answer.Page, error) {
	if _, err := term.Parse(r.Query, noon); err != nil {
		return nil, schema.InvalidField("q", "%w", err)
	}
	a.note(r)
	if r.Cursor != "" {
		return nil, schema.InvalidField("cursor", "this cursor is from another search")
	}
	far := hit(3)
	far.Timestamp, far.HasEventTime, far.EventTime = 1<<62, true, -1<<62
	return &answer.Page{Records: []answer.Hit{far}}, nil
}

func (a *archive) Field(_ context.Context, _ policy.Principal, r answer.FieldRequest) (*answer.FieldHistory, error) {
	a.note(r)
	return &answer.FieldHistory{TraceID: r.TraceID, Pointer: r.Pointer, Steps: []answer.FieldStep{
		{Hit: hit(1), Parent: -1, Change: answer.FieldFirst, Value: []byte(`12.50`)},
		{Hop: 1, Hit: hit(2), Change: answer.FieldUnread, Note: "the payload is no JSON"},
	}}, nil
}

func (a *archive) Anomalies(_ context.Context, _ policy.Principal, at time.Time) (*answer.Anomalies, error) {
	a.note(at)
	partition := int32(2)
	return &answer.Anomalies{At: at, From: at.Add(-time.Hour), To: at, Checks: []answer.AnomalyCheck{
		{Kind: answer.LagAnomaly, State: answer.CheckFound, Judged: 3}, {Kind: answer.ThroughputDrop, State: answer.CheckIndeterminate, Note: "one day"},
	}, Anomalies: []answer.Anomaly{{Kind: answer.LagAnomaly, Topic: "fx.rates", Partition: &partition, Component: "archiver", From: at, To: at, Value: 5, Evidence: "five"}}}, nil
}

func (a *archive) Verdict(_ context.Context, _ policy.Principal, r answer.VerdictRequest) (*answer.Verdict, error) {
	a.note(r)
	gap := []answer.VerdictGap{{Class: "cleaned", Ranges: 1, Offsets: 5}}
	return &answer.Verdict{TraceID: r.TraceID, Reasons: []string{answer.ReasonGaps}, Gaps: gap, Partitions: []answer.VerdictStream{
		{Topic: "fx.rates", TopicID: topicID, Unsealed: -1, Behind: 3, Gaps: gap},
	}}, nil
}

func (a *archive) Matches(_ context.Context, _ policy.Principal, r answer.SearchRequest, f answer.Format, w io.Writer) (*answer.Statement, error) {
	a.note(r)
	if r.ID == "refused" {
		return nil, schema.InvalidField("id", "refused")
	}
	if _, err := io.WriteString(w, string(f)+" of "+r.Query+"\n"); err != nil {
		return nil, err
	}
	if r.ID == "broken" {
		_, err := io.WriteString(w, strings.Repeat("x", 1<<20))
		return nil, errors.Join(err, schema.Errorf(schema.Unavailable, "the index is away"))
	}
	return &answer.Statement{Records: 7, Unsealed: 2, Notes: []string{"2 are not sealed"}, At: noon}, nil
}

func (a *archive) Scan(_ context.Context, _ policy.Principal, r answer.ScanRequest, tell func(*answer.Hit, *answer.ScanProgress) error) (*answer.Scan, error) {
	a.note(r)
	if r.Query == "refused" {
		return nil, schema.InvalidField("q", "refused")
	}
	found := hit(3)
	p := answer.ScanProgress{Segments: 1, OfSegments: 2, Records: 10, OfRecords: 20, Bytes: 100, OfBytes: 200}
	if err := errors.Join(tell(&found, nil), tell(nil, &p)); err != nil || r.Query == "broken" {
		return nil, errors.Join(err, schema.Errorf(schema.Unavailable, "the store is away"))
	}
	return &answer.Scan{ScanProgress: p, Found: 1, Stopped: answer.StoppedByBytes, Unsealed: 4, Opaque: 5}, nil
}

// Record has values of every kind, by offset.
func (a *archive) Record(_ context.Context, _ policy.Principal, r answer.RecordRequest) (*answer.Record, error) {
	a.note(r)
	if r.Topic == "cards" {
		return &answer.Record{Hit: hit(r.Offset), Record: &schema.Record{ProducerID: -1}, Withheld: []string{"key", "value"}}, nil
	}
	values := [][]byte{nil, {}, []byte(`{"rate": 1.10, "n": 12345678901234567890}`), {0, 0xff}, []byte("<script>alert(1)</script>"), append([]byte("x"), bytes.Repeat([]byte("ä"), 1<<20)...)}
	if r.Offset >= int64(len(values)) {
		return nil, schema.Errorf(schema.Corrupt, "segment x: hash differs")
	}
	decoded := []*answer.Decoding{
		3: {SchemaID: "9", Reason: "schema:unknown", Detail: "no such schema"},
		4: {SchemaID: "7", Kind: "AVRO", Name: "x.Order", Document: []byte(`{"n": 12345678901234567890}`), Withheld: []string{"/who"}, Detail: "decoded"},
		5: nil,
	}[r.Offset]
	return &answer.Record{Hit: hit(r.Offset), Source: "kafka", Decoded: decoded, Record: &schema.Record{
		Value: values[r.Offset], Key: []byte("4711"), ProducerID: -1, Timestamp: noon.UnixMilli(),
		Headers: []schema.Header{
			{Name: "a", Value: nil},
			{Name: "a", Value: []byte{}},
			{Name: "kafka_dlt-original-offset", Value: []byte{0, 0, 0, 0, 0, 0, 1, 0}},
			{Name: "\xff", Value: []byte("x")},
		},
	}}, nil
}

func (a *archive) Topics(context.Context, policy.Principal) (*answer.Topics, error) {
	return nil, schema.Errorf(schema.Unavailable, "ask the index: connection refused")
}

func (a *archive) Policies(_ context.Context, _ policy.Principal, topic string) (*answer.TopicPolicies, error) {
	a.note(topic)
	return &answer.TopicPolicies{Topics: []answer.TopicPolicy{{Topic: "cards", Properties: []answer.PolicyProperty{{Name: "secret", Value: "true", By: "topics[0]"}}}}}, nil
}

func (a *archive) Violations(_ context.Context, _ policy.Principal, r answer.ViolationRequest) (*answer.Violations, error) {
	a.note(r)
	return &answer.Violations{Groups: []answer.Violation{{Topic: "t", Rule: "contract:type:/a", Records: 3}}}, nil
}

func (a *archive) CheckContract(_ context.Context, _ policy.Principal, r answer.ContractCheckRequest) (*answer.ContractCheck, error) {
	a.note(r)
	return &answer.ContractCheck{Verdict: answer.ContractIndeterminate, Evolution: "new", Matching: -1, Sample: answer.SampleNewest}, nil
}

func (a *archive) EventTypes(_ context.Context, _ policy.Principal, eventType string) (*answer.EventTypes, error) {
	a.note(eventType)
	return &answer.EventTypes{Types: []answer.EventType{{Type: "T", Schema: []byte(`{"type":"object"}`)}}}, nil
}

func (a *archive) Coverage(_ context.Context, _ policy.Principal, topic string) (*answer.Coverage, error) {
	return &answer.Coverage{Partitions: []answer.PartitionCoverage{{Topic: topic, HighWatermark: -1}}}, nil
}

func (a *archive) Gaps(_ context.Context, _ policy.Principal, request answer.GapRequest) (*answer.GapPage, error) {
	a.note(request)
	return &answer.GapPage{}, nil
}

func (a *archive) DeadLetters(_ context.Context, _ policy.Principal, request answer.DeadLetterRequest) (*answer.DeadLetterPage, error) {
	a.note(request)
	return &answer.DeadLetterPage{}, nil
}

func (a *archive) GroupOffsets(_ context.Context, _ policy.Principal, _ string, r answer.GroupOffsetsRequest) (*answer.GroupOffsets, error) {
	a.note(r)
	at := int64(1 << 60)
	return &answer.GroupOffsets{Group: r.Group, Into: r.Group, Partitions: []answer.GroupOffset{{Source: "a", Status: answer.OffsetEnd, TargetOffset: &at}}}, nil
}

func (a *archive) DeadRecords(_ context.Context, _ policy.Principal, r answer.DeadRecordRequest) (*answer.DeadRecordPage, error) {
	a.note(r)
	return &answer.DeadRecordPage{Records: []answer.DeadRecord{{Hit: hit(1), Failure: answer.Failure{
		Framework: "spring", Original: &schema.Coordinates{Topic: "orders", Partition: 1, Offset: 1 << 60}, Class: "E", Signature: "0123456789abcdef",
	}}}, Examined: 1}, nil
}

func (a *archive) DeadRecordGroups(_ context.Context, _ policy.Principal, r answer.DeadRecordRequest) (*answer.DeadRecordGroups, error) {
	a.note(r)
	return &answer.DeadRecordGroups{Groups: []answer.DeadRecordGroup{{Signature: "0123456789abcdef", Records: 2, First: noon, Last: noon}}}, nil
}

func (a *archive) DeadChain(_ context.Context, _ policy.Principal, r answer.RecordRequest) (*answer.DeadChain, error) {
	a.note(r)
	return &answer.DeadChain{Links: []answer.DeadLink{{At: r.Coordinates, Role: answer.ChainOriginal, Note: "not archived"}}}, nil
}

func (a *archive) Segments(_ context.Context, _ policy.Principal, r answer.SegmentRequest) (*answer.Segments, error) {
	return nil, errors.New("secret detail of " + r.Topic)
}

func (a *archive) Plan(_ context.Context, _ policy.Principal, r answer.ReplayRequest) (*answer.ReplayPlan, error) {
	a.note(r)
	return &answer.ReplayPlan{ID: "p", Request: r}, nil
}

func (a *archive) Run(_ context.Context, _ policy.Principal, id string, pace *answer.ReplayPace) (*answer.ReplayJob, error) {
	job := &answer.ReplayJob{ID: id, State: "running", Pace: answer.ReplayPace{Mode: answer.PaceFast}}
	if pace != nil {
		job.Pace = *pace
	}
	return job, nil
}

func (a *archive) Pause(_ context.Context, _ policy.Principal, id string) (*answer.ReplayJob, error) {
	return &answer.ReplayJob{ID: id, State: answer.JobPaused, Pace: answer.ReplayPace{Mode: answer.PaceFast}}, nil
}

func (a *archive) Resume(_ context.Context, _ policy.Principal, id string) (*answer.ReplayJob, error) {
	return &answer.ReplayJob{ID: id, State: answer.JobRunning, Pace: answer.ReplayPace{Mode: answer.PaceFast}}, nil
}

func (a *archive) SetPace(_ context.Context, _ policy.Principal, id string, pace answer.ReplayPace) (*answer.ReplayJob, error) {
	return &answer.ReplayJob{ID: id, State: answer.JobRunning, Pace: pace}, nil
}

func (a *archive) DryRun(_ context.Context, _ policy.Principal, id string) (*answer.DryRun, error) {
	return &answer.DryRun{ID: id, Planned: 2, Records: 1, Problems: []string{"one is missing"}}, nil
}

func (a *archive) MapOffset(_ context.Context, _ policy.Principal, _ string, q answer.OffsetQuery) (*answer.OffsetPair, error) {
	if (q.Source == nil) == (q.Target == nil) {
		return nil, schema.InvalidField("source", "one of them")
	}
	return &answer.OffsetPair{Source: "a", Target: "b", SourceOffset: 1 << 60, TargetOffset: 7}, nil
}

func (a *archive) Get(_ context.Context, _ policy.Principal, id string) (*answer.ReplayJob, error) {
	return &answer.ReplayJob{ID: id, State: "done", Pace: answer.ReplayPace{Mode: answer.PaceFast}, Receipt: &answer.Receipt{Matches: true}}, nil
}

func (a *archive) Files(context.Context, policy.Principal, string) (*answer.ReplayFiles, error) {
	return &answer.ReplayFiles{ID: "p", Format: answer.FileNDJSON, Files: []answer.ReplayFile{{Key: "jobs/replay/p/files/t/0/0-1-1.ndjson", Records: 1, Topic: "t"}}}, nil
}

func (a *archive) File(_ context.Context, _ policy.Principal, _ string, n int) (*answer.ReplayFile, []byte, error) {
	if n > 0 {
		return nil, nil, schema.Errorf(schema.NotFound, "one file")
	}
	return &answer.ReplayFile{Key: "jobs/replay/p/files/t/0/0-1-1.ndjson"}, []byte("{}\n"), nil
}

func (a *archive) List(context.Context, policy.Principal) (*answer.ReplayList, error) {
	return &answer.ReplayList{Notes: []string{"older jobs are left out"}}, nil
}

func (a *archive) Cancel(_ context.Context, _ policy.Principal, id string) (*answer.ReplayJob, error) {
	return nil, schema.Errorf(schema.Conflict, "job %s is done", id)
}

func (a *archive) Export(ctx context.Context, _ policy.Principal, r answer.ExportRequest, w io.Writer) error {
	a.note(r)
	return a.export(ctx, w)
}

func (a *archive) health() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.trouble
}

// pages are an explorer as a build leaves it.
var pages = fstest.MapFS{
	"index.html":                {Data: []byte("<!doctype html><title>explorer</title>" + string(bytes.Repeat([]byte(" "), 500)))},
	"assets/index-Bk3xQ9aZ.js":  {Data: bytes.Repeat([]byte("console.log(1);\n"), 100)},
	"assets/index-Bk3xQ9aZ.css": {Data: []byte("body{}")},
	"favicon.svg":               {Data: []byte("<svg/>")},
}

// running is a server on a real listener.
type running struct {
	base    string
	archive *archive
	log     *lockedBuffer
	stop    func()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// optionsFor are what every server here has, with an archive of its own.
func optionsFor(listen string) (web.Options, web.Services) {
	a := &archive{trouble: map[string]string{"kafka": "", "store": "", "index": ""}}
	return web.Options{
		Listen: listen, AllowedHosts: []string{"annals.example"}, Registry: prometheus.NewRegistry(), Build: "v9",
		Logger:    slog.New(slog.DiscardHandler),
		Principal: web.Claimed,
	}, web.Services{Queries: a, Replays: a, Exports: a, Health: a.health}
}

// serve runs a server until the test, or stop, ends it.
func serve(t *testing.T, server *web.Server) (address string, stop func()) {
	t.Helper()
	address, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return address, stop
}

func start(t *testing.T, change func(*web.Options, *web.Services)) *running {
	t.Helper()
	options, services := optionsFor("127.0.0.1:0")
	log := &lockedBuffer{}
	options.Logger = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if change != nil {
		change(&options, &services)
	}
	server, err := web.NewWithPages(options, services, pages)
	if err != nil {
		t.Fatal(err)
	}
	options.Registry.MustRegister(server.Collectors()...)
	address, stop := serve(t, server)
	return &running{base: address, archive: services.Queries.(*archive), log: log, stop: stop}
}

// plainClient keeps no connections, decodes nothing and follows nothing.
func plainClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       20 * time.Second,
	}
}
