package web

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

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

// selection holds a trace, or topics with a time range, against what can mean
// something.
func selection(traceID string, topics []string, from, to time.Time) error {
	switch {
	case traceID == "" && len(topics) == 0:
		return schema.WithHint(schema.InvalidField("topics", "nothing is selected"), "name a trace_id, or topics with from and to")
	case traceID != "" && (len(topics) > 0 || !from.IsZero() || !to.IsZero()):
		return schema.InvalidField("trace_id", "a trace and topics or times exclude each other")
	}
	return timeRange(from, to)
}

// timeRange refuses a range that can hold nothing.
func timeRange(from, to time.Time) error {
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return schema.InvalidField("to", "%s is not after from, %s", to.UTC().Format(time.RFC3339Nano), from.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

func replayRequest(r *api.ReplayRequest) (answer.ReplayRequest, error) {
	out := answer.ReplayRequest{
		TraceID: value(r.TraceId), TraceIDs: value(r.TraceIds), IncludeReplays: value(r.IncludeReplays), Topics: value(r.Topics), From: value(r.From), To: value(r.To),
		EventFrom: value(r.EventFrom), EventTo: value(r.EventTo), Query: value(r.Query), Unsealed: string(value(r.Unsealed)),
		Filter: value(r.Filter), FilterErrors: string(value(r.FilterErrors)),
		Partitioning: string(value(r.Partitioning)), TargetPartitions: value(r.TargetPartitions),
		Timestamps: string(value(r.Timestamps)), ShiftMillis: value(r.ShiftMs),
		TargetCluster: value(r.TargetCluster), TargetFile: string(value(r.TargetFile)), TargetPrefix: value(r.TargetPrefix), TargetTopics: value(r.TargetTopics),
		AllowExisting: value(r.AllowExisting), AllowSource: value(r.AllowSource), ProvenanceHeaders: value(r.ProvenanceHeaders),
		ProvenanceOutside: r.ProvenanceHeaders == nil,
		Partitions:        value(r.Partitions), Keys: value(r.Keys), EventTypes: value(r.EventTypes), EventVersions: value(r.EventVersions),
		Services: value(r.Services), Stages: value(r.Stages), Oversized: string(value(r.Oversized)),
	}
	for _, o := range value(r.Offsets) {
		out.Offsets = append(out.Offsets, answer.ReplayOffsets{Topic: o.Topic, Partition: o.Partition, From: o.From, To: o.To})
	}
	var err error
	if out.TopicID, err = parseID(r.TopicId); err != nil {
		return out, err
	}
	if out.Query != "" || len(out.TraceIDs) > 0 { // what these select is known when they are read
		return out, timeRange(out.From, out.To)
	}
	return out, selection(out.TraceID, out.Topics, out.From, out.To)
}

func planOf(p *answer.ReplayPlan) api.ReplayPlan {
	r := p.Request
	out := api.ReplayPlan{
		Id: p.ID, Created: p.Created.UTC(), Records: p.Records, Bytes: p.Bytes, Segments: p.Segments,
		From: moment(p.From), To: moment(p.To), Warnings: list(p.Warnings), TargetClusterId: optional(p.TargetClusterID),
		Request: api.ReplayRequest{
			TraceId: optional(r.TraceID), TraceIds: some(r.TraceIDs), IncludeReplays: optional(r.IncludeReplays), Topics: some(r.Topics), From: moment(r.From), To: moment(r.To),
			EventFrom: moment(r.EventFrom), EventTo: moment(r.EventTo),
			Filter: optional(r.Filter), FilterErrors: optional(api.ReplayRequestFilterErrors(r.FilterErrors)),
			Partitioning: optional(api.ReplayRequestPartitioning(r.Partitioning)), TargetPartitions: optional(r.TargetPartitions),
			Timestamps: optional(api.ReplayRequestTimestamps(r.Timestamps)), ShiftMs: optional(r.ShiftMillis),
			TargetCluster: optional(r.TargetCluster), TargetFile: optional(api.ReplayRequestTargetFile(r.TargetFile)), TargetPrefix: optional(r.TargetPrefix), AllowExisting: optional(r.AllowExisting),
			AllowSource: optional(r.AllowSource), ProvenanceHeaders: optional(r.ProvenanceHeaders),
			Partitions: some(r.Partitions), Keys: some(r.Keys), EventTypes: some(r.EventTypes), EventVersions: some(r.EventVersions),
			Services: some(r.Services), Stages: some(r.Stages), Oversized: optional(api.ReplayRequestOversized(r.Oversized)),
			Offsets: some(each(r.Offsets, func(o *answer.ReplayOffsets) api.OffsetRange {
				return api.OffsetRange{Topic: o.Topic, Partition: o.Partition, From: o.From, To: o.To}
			})),
		},
		Terms: []api.PlanTerm{},
		Topics: each(p.Topics, func(t *answer.ReplayTopic) api.PlanTopic {
			return api.PlanTopic{
				Cluster: t.Cluster, Source: t.Source, TopicId: topicIDOf(t.TopicID), Target: t.Target,
				Partitions: t.Partitions, Records: t.Records, Bytes: t.Bytes,
				TargetExists: optional(t.TargetExists), TargetConfig: settings(t.TargetConfig), Schemas: some(t.Schemas), MoreSchemas: optional(t.MoreSchemas),
			}
		}),
	}
	for _, term := range p.Terms() {
		out.Terms = append(out.Terms, api.PlanTerm{Name: term.Name, Value: term.Value})
	}
	out.NeedsApproval, out.EstimatedSeconds = optional(p.NeedsApproval), optional(p.EstimatedSeconds)
	if r.TopicID != nil {
		out.Request.TopicId = optional(r.TopicID.String())
	}
	if p.Redrive != nil {
		out.Redrive = &api.Redrive{Limit: p.Redrive.Limit, KeepHeaders: p.Redrive.KeepHeaders}
	}
	if len(r.TargetTopics) > 0 {
		out.Request.TargetTopics = &r.TargetTopics
	}
	out.Oversized = some(each(p.Oversized, func(o *answer.ReplayOversized) api.Oversized {
		return api.Oversized{
			Source: o.Source, Target: o.Target, Limit: o.Limit, Action: api.OversizedAction(o.Action), Records: o.Records,
			First: each(o.First, func(r *answer.ReplayPlace) api.OversizedRecord {
				return api.OversizedRecord{Partition: r.Partition, Offset: r.Offset, Bytes: r.Bytes}
			}),
		}
	}))
	out.Untold = some(each(p.Untold, func(u *answer.ReplayUntold) api.Untold {
		return api.Untold{Source: u.Source, Records: u.Records, First: each(u.First, func(r *answer.ReplayUntoldRecord) api.UntoldRecord {
			return api.UntoldRecord{Partition: r.Partition, Offset: r.Offset, Reason: r.Reason}
		})}
	}))
	return out
}

// settings is nil where none are known.
func settings(known map[string]string) *map[string]string {
	if known == nil {
		return nil
	}
	return &known
}

// paceRequest is nil if nothing is asked for.
func paceRequest(p *api.ReplayPace) *answer.ReplayPace {
	if p == nil {
		return nil
	}
	return &answer.ReplayPace{
		Mode: string(p.Mode), RecordsPerSecond: value(p.RecordsPerSecond), BytesPerSecond: value(p.BytesPerSecond),
		Speed: value(p.Speed), MaxWaitSeconds: value(p.MaxWaitSeconds), FastUntil: milliseconds(p.FastUntil),
	}
}

// milliseconds is 0 for no time.
func milliseconds(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMilli()
}

func paceOf(p *answer.ReplayPace) api.ReplayPace {
	return api.ReplayPace{
		Mode: api.ReplayPaceMode(p.Mode), RecordsPerSecond: optional(p.RecordsPerSecond), BytesPerSecond: optional(p.BytesPerSecond),
		Speed: optional(p.Speed), MaxWaitSeconds: optional(p.MaxWaitSeconds), FastUntil: fastUntil(p.FastUntil),
	}
}

func fastUntil(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	return moment(time.UnixMilli(ms))
}

func latenessOf(l *answer.ReplayLateness) *api.ReplayLateness {
	if l == nil {
		return nil
	}
	one := func(l answer.Lateness) api.Lateness {
		return api.Lateness{Records: l.Records, P50Ms: l.P50, P99Ms: l.P99, MaxMs: l.Max}
	}
	return &api.ReplayLateness{Sent: one(l.Sent), Acked: one(l.Acked), CommitIntervalMs: l.Interval}
}

func dryRunOf(d *answer.DryRun) api.DryRun {
	return api.DryRun{
		Id: d.ID, Planned: d.Planned, Records: d.Records, Bytes: d.Bytes, Segments: d.Segments, Seconds: d.Seconds,
		Matches: d.Matches, Problems: list(d.Problems),
		Partitions: each(d.Partitions, func(p *answer.DryRunPartition) api.DryRunPartition {
			return api.DryRunPartition{Source: p.Source, Target: p.Target, Partition: p.Partition, Records: p.Records, Bytes: p.Bytes, Hash: p.Hash}
		}),
	}
}

func jobOf(j *answer.ReplayJob) api.ReplayJob {
	out := api.ReplayJob{
		Id: j.ID, State: api.ReplayJobState(j.State), Plan: planOf(&j.Plan), Planned: j.Planned, Produced: j.Produced,
		Started: moment(j.Started), Updated: j.Updated.UTC(), Finished: moment(j.Finished),
		EtaSeconds: optional(j.ETASeconds), Error: optional(j.Error), Pace: paceOf(&j.Pace), Lateness: latenessOf(j.Lateness),
	}
	out.RequestedBy, out.Approval = optional(j.RequestedBy), approvalOf(j.Approval)
	if r := j.Receipt; r != nil {
		out.Receipt = &api.Receipt{
			Planned: r.Planned, Read: r.Read, Produced: r.Produced, ReadBack: r.ReadBack, Matches: r.Matches,
			Exclusive: r.Exclusive, Notes: list(r.Notes),
			Partitions: each(r.Partitions, func(p *answer.ReceiptPartition) api.ReceiptPartition {
				return api.ReceiptPartition{
					Source: p.Source, Target: p.Target, Partition: p.Partition, TargetPartition: p.TargetPartition, Planned: p.Planned, Read: p.Read, ReadBack: p.ReadBack,
					PlannedHash: p.PlannedHash, ReadBackHash: p.ReadBackHash, Matches: p.Matches,
					Foreign: optional(p.Foreign), Difference: optional(p.Difference),
				}
			}),
		}
	}
	if j.Receipt != nil && j.Receipt.Files != nil {
		out.Receipt.FilesSha256 = optional(j.Receipt.Files.String())
	}
	if j.Receipt != nil || j.ReadBack > 0 {
		out.ReadBack = &j.ReadBack
	}
	return out
}
