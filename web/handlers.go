package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// operations implements the API. Requests were held against the document; what
// it cannot say is checked here.
type operations struct {
	services Services
	options  Options
	leaving  <-chan struct{} // closed when the server stops
}

// elsewhere is the answer of a process that does not play the role that is
// asked for.
func elsewhere(what, command string) error {
	return schema.WithHint(schema.Errorf(schema.Conflict, "this process does not %s", what),
		fmt.Sprintf("ask the process that runs %s, or annals up", command))
}

// GetStatus implements [api.StrictServerInterface].
func (o *operations) GetStatus(context.Context, api.GetStatusRequestObject) (api.GetStatusResponseObject, error) {
	out := api.GetStatus200JSONResponse{
		Version: o.options.Build, Now: time.Now().UTC(), Ready: true, Roles: some(o.options.Roles),
		Demo: optional(o.options.Demo), Dependencies: []api.Dependency{},
	}
	for _, d := range o.dependencies() {
		out.Ready = out.Ready && (d.trouble == "" || !needed(d.name))
		out.Dependencies = append(out.Dependencies, api.Dependency{
			Name: api.DependencyName(d.name), Ready: d.trouble == "", Detail: d.trouble,
		})
	}
	return out, nil
}

// Identify implements [api.StrictServerInterface].
func (o *operations) Identify(ctx context.Context, r api.IdentifyRequestObject) (api.IdentifyResponseObject, error) {
	id, err := pasted("id", r.Params.Id)
	if err != nil {
		return nil, err
	}
	found, err := o.services.Queries.Identify(ctx, callOf(ctx).who, id)
	if err != nil {
		return nil, err
	}
	return api.Identify200JSONResponse(identificationOf(found)), nil
}

// pasted trims what comes along with an id that was copied from somewhere.
func pasted(field, id string) (string, error) {
	if id = strings.TrimSpace(id); id == "" {
		return "", schema.InvalidField(field, "%s is blank", field)
	}
	return id, nil
}

// GetTrace implements [api.StrictServerInterface].
func (o *operations) GetTrace(ctx context.Context, r api.GetTraceRequestObject) (api.GetTraceResponseObject, error) {
	id, err := pasted("trace_id", r.TraceId)
	if err != nil {
		return nil, err
	}
	trace, err := o.services.Queries.Trace(ctx, callOf(ctx).who, answer.TraceRequest{
		TraceID: id, Diffs: value(r.Params.Diffs), FactsOnly: value(r.Params.FactsOnly), Flow: value(r.Params.Flow),
		Archive: value(r.Params.Archive), From: value(r.Params.From), To: value(r.Params.To),
		Limit: value(r.Params.Limit),
	})
	if err != nil {
		return nil, err
	}
	return api.GetTrace200JSONResponse(traceOf(trace)), nil
}

// record reads the record that a path and its parameters name.
func (o *operations) record(ctx context.Context, at schema.Coordinates, id *string, branch *int32) (*answer.Record, error) {
	parsed, err := parseID(id)
	if err != nil {
		return nil, err
	}
	request := answer.RecordRequest{Coordinates: at, Branch: branch, TopicID: parsed}
	return o.services.Queries.Record(ctx, callOf(ctx).who, request)
}

// parseID reads a topic ID that may be left out.
func parseID(text *string) (*schema.TopicID, error) {
	if text == nil {
		return nil, nil
	}
	id, err := schema.ParseTopicID(*text)
	if err != nil {
		return nil, schema.InvalidField("topic_id", "%w", err)
	}
	return &id, nil
}

// GetRecord implements [api.StrictServerInterface].
func (o *operations) GetRecord(ctx context.Context, r api.GetRecordRequestObject) (api.GetRecordResponseObject, error) {
	at := schema.Coordinates{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	found, err := o.record(ctx, at, r.Params.TopicId, r.Params.Branch)
	if err != nil {
		return nil, err
	}
	return api.GetRecord200JSONResponse(recordOf(found)), nil
}

// GetRecordValue implements [api.StrictServerInterface].
func (o *operations) GetRecordValue(ctx context.Context, r api.GetRecordValueRequestObject) (api.GetRecordValueResponseObject, error) {
	at := schema.Coordinates{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	found, err := o.record(ctx, at, r.Params.TopicId, r.Params.Branch)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(found.Withheld, func(w string) bool { return w == "value" || strings.HasPrefix(w, "/") }) {
		return nil, schema.Errorf(schema.Permission, "the topic's policy withholds %s: the exact value is not given", strings.Join(found.Withheld, ", "))
	}
	if found.Record.Value == nil {
		return api.GetRecordValue204Response{}, nil
	}
	return exactValue{name: fmt.Sprintf("%s-%d-%d.bin", at.Topic, at.Partition, at.Offset), body: found.Record.Value}, nil
}

// exactValue is a record's value as a file, or a file of a replay.
type exactValue struct {
	name string
	body []byte
}

// VisitGetReplayFileResponse implements [api.GetReplayFileResponseObject].
func (v exactValue) VisitGetReplayFileResponse(w http.ResponseWriter) error {
	return v.VisitGetRecordValueResponse(w)
}

// VisitGetRecordValueResponse implements [api.GetRecordValueResponseObject].
func (v exactValue) VisitGetRecordValueResponse(w http.ResponseWriter) error {
	attachment(w.Header(), "application/octet-stream", v.name)
	w.Header().Set("Content-Length", strconv.Itoa(len(v.body)))
	if _, err := io.Copy(w, bytes.NewReader(v.body)); err != nil {
		return &brokenError{err}
	}
	return nil
}

// ListTopics implements [api.StrictServerInterface].
func (o *operations) ListTopics(ctx context.Context, _ api.ListTopicsRequestObject) (api.ListTopicsResponseObject, error) {
	topics, err := o.services.Queries.Topics(ctx, callOf(ctx).who)
	if err != nil {
		return nil, err
	}
	return api.ListTopics200JSONResponse{Topics: each(topics.Topics, topicOf), Notes: append([]string{}, topics.Notes...)}, nil
}

// ListTopicPolicies implements [api.StrictServerInterface].
func (o *operations) ListTopicPolicies(ctx context.Context, r api.ListTopicPoliciesRequestObject) (api.ListTopicPoliciesResponseObject, error) {
	policies, err := o.services.Queries.Policies(ctx, callOf(ctx).who, value(r.Params.Topic))
	if err != nil {
		return nil, err
	}
	return api.ListTopicPolicies200JSONResponse{Topics: each(policies.Topics, policyOf), Notes: append([]string{}, policies.Notes...)}, nil
}

// GetCoverage implements [api.StrictServerInterface].
func (o *operations) GetCoverage(ctx context.Context, r api.GetCoverageRequestObject) (api.GetCoverageResponseObject, error) {
	coverage, err := o.services.Queries.Coverage(ctx, callOf(ctx).who, value(r.Params.Topic))
	if err != nil {
		return nil, err
	}
	return api.GetCoverage200JSONResponse(coverageOf(coverage)), nil
}

// ListGaps implements [api.StrictServerInterface].
func (o *operations) ListGaps(ctx context.Context, r api.ListGapsRequestObject) (api.ListGapsResponseObject, error) {
	page, err := o.services.Queries.Gaps(ctx, callOf(ctx).who, answer.GapRequest{
		Topic: value(r.Params.Topic), Partition: r.Params.Partition, Class: schema.GapClass(value(r.Params.Class)),
		Limit: value(r.Params.Limit), Cursor: value(r.Params.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return api.ListGaps200JSONResponse{Gaps: each(page.Gaps, topicGapOf), NextCursor: optional(page.NextCursor)}, nil
}

// ListSegments implements [api.StrictServerInterface].
func (o *operations) ListSegments(ctx context.Context, r api.ListSegmentsRequestObject) (api.ListSegmentsResponseObject, error) {
	id, err := parseID(r.Params.TopicId)
	if err != nil {
		return nil, err
	}
	found, err := o.services.Queries.Segments(ctx, callOf(ctx).who, answer.SegmentRequest{Topic: r.Params.Topic, TopicID: id, Raw: value(r.Params.Raw)})
	if err != nil {
		return nil, err
	}
	var batches *[]api.RawBatch
	if value(r.Params.Raw) {
		all := each(found.Batches, batchOf)
		batches = &all
	}
	return api.ListSegments200JSONResponse{
		Batches: batches,
		Cluster: found.Cluster, Topic: found.Topic, TopicId: topicIDOf(found.TopicID), Bucket: found.Bucket, Segments: each(found.Segments, segmentOf),
	}, nil
}

// Seal implements [api.StrictServerInterface].
func (o *operations) Seal(ctx context.Context, r api.SealRequestObject) (api.SealResponseObject, error) {
	if o.services.Sealer == nil {
		return nil, elsewhere("archive", "annals archive")
	}
	wait := value(r.Params.Wait)
	partitions, records, err := o.services.Sealer.Seal(ctx, wait)
	if err != nil {
		return nil, err
	}
	return api.Seal200JSONResponse{Partitions: partitions, Records: records, Waited: wait}, nil
}

// replays gives the replay service, if this process has it.
func (o *operations) replays() (Replays, error) {
	if o.services.Replays == nil {
		return nil, elsewhere("replay", "annals serve")
	}
	return o.services.Replays, nil
}

// jobCall is a method of [Replays] that takes no more than a job's id.
type jobCall func(Replays, context.Context, policy.Principal, string) (*answer.ReplayJob, error)

// job gives a job as it is after the call.
func (o *operations) job(ctx context.Context, id string, call jobCall) (*answer.ReplayJob, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	return call(replays, ctx, callOf(ctx).who, id)
}

// PlanReplay implements [api.StrictServerInterface].
func (o *operations) PlanReplay(ctx context.Context, r api.PlanReplayRequestObject) (api.PlanReplayResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	request, err := replayRequest(r.Body)
	if err != nil {
		return nil, err
	}
	plan, err := replays.Plan(ctx, callOf(ctx).who, request)
	if err != nil {
		return nil, err
	}
	return api.PlanReplay200JSONResponse(planOf(plan)), nil
}

// RunReplay implements [api.StrictServerInterface].
func (o *operations) RunReplay(ctx context.Context, r api.RunReplayRequestObject) (api.RunReplayResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	job, err := replays.Run(ctx, callOf(ctx).who, r.Body.PlanId, paceRequest(r.Body.Pace))
	if err != nil {
		return nil, err
	}
	return api.RunReplay202JSONResponse(jobOf(job)), nil
}

// GetReplay implements [api.StrictServerInterface].
func (o *operations) GetReplay(ctx context.Context, r api.GetReplayRequestObject) (api.GetReplayResponseObject, error) {
	job, err := o.job(ctx, r.Id, Replays.Get)
	if err != nil {
		return nil, err
	}
	return api.GetReplay200JSONResponse(jobOf(job)), nil
}

// ListReplays implements [api.StrictServerInterface].
func (o *operations) ListReplays(ctx context.Context, _ api.ListReplaysRequestObject) (api.ListReplaysResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	list, err := replays.List(ctx, callOf(ctx).who)
	if err != nil {
		return nil, err
	}
	return api.ListReplays200JSONResponse{Jobs: each(list.Jobs, jobOf), Notes: list.Notes}, nil
}

// CancelReplay implements [api.StrictServerInterface].
func (o *operations) CancelReplay(ctx context.Context, r api.CancelReplayRequestObject) (api.CancelReplayResponseObject, error) {
	job, err := o.job(ctx, r.Id, Replays.Cancel)
	if err != nil {
		return nil, err
	}
	return api.CancelReplay200JSONResponse(jobOf(job)), nil
}

// Export implements [api.StrictServerInterface].
func (o *operations) Export(ctx context.Context, r api.ExportRequestObject) (api.ExportResponseObject, error) {
	if o.services.Exports == nil {
		return nil, elsewhere("export", "annals serve")
	}
	request, err := exportRequest(r.Body)
	if err != nil {
		return nil, err
	}
	return download{
		ctx: ctx, contentType: "application/x-tar", name: "annals-export.tar",
		write: func(w io.Writer) error {
			callOf(ctx).taking = true
			return o.services.Exports.Export(ctx, callOf(ctx).who, request, w)
		},
	}, nil
}

// dependency is a line of the health report; trouble is "" where it is well.
type dependency struct{ name, trouble string }

// needed tells whether work stops without a dependency. Without its spool an
// archiver goes on, with smaller segments.
func needed(name string) bool { return name != "spool" }

// dependencies are in the order of a record's way through them.
func (o *operations) dependencies() []dependency {
	var out []dependency
	for name, trouble := range o.services.Health() {
		out = append(out, dependency{name, trouble})
	}
	order := []string{"kafka", "store", "index", "spool"}
	slices.SortFunc(out, func(a, b dependency) int {
		if x, y := slices.Index(order, a.name), slices.Index(order, b.name); x != y {
			return x - y
		}
		return strings.Compare(a.name, b.name)
	})
	return out
}
