package client

import (
	"context"
	"io"

	"github.com/fx-risk-ai/annals/web/api"
)

// PlanReplay asks for a plan.
func (c *Client) PlanReplay(ctx context.Context, request api.ReplayRequest) (*api.ReplayPlan, error) {
	r, err := c.raw.PlanReplay(ctx, request)
	return answer[api.ReplayPlan](c, r, err)
}

// RunReplay runs a plan, at a pace if one is given.
func (c *Client) RunReplay(ctx context.Context, planID string, pace *api.ReplayPace) (*api.ReplayJob, error) {
	r, err := c.raw.RunReplay(ctx, api.RunRequest{PlanId: planID, Pace: pace})
	return answer[api.ReplayJob](c, r, err)
}

// Replay asks for a job.
func (c *Client) Replay(ctx context.Context, id string) (*api.ReplayJob, error) {
	r, err := c.raw.GetReplay(ctx, id)
	return answer[api.ReplayJob](c, r, err)
}

// Replays asks for all jobs.
func (c *Client) Replays(ctx context.Context) (*api.ReplayList, error) {
	return decode[api.ReplayList](c, c.raw.ListReplays)(ctx)
}

// PauseReplay stops a job until it is resumed.
func (c *Client) PauseReplay(ctx context.Context, id string) (*api.ReplayJob, error) {
	r, err := c.raw.PauseReplay(ctx, id)
	return answer[api.ReplayJob](c, r, err)
}

// ResumeReplay lets a paused job go on.
func (c *Client) ResumeReplay(ctx context.Context, id string) (*api.ReplayJob, error) {
	r, err := c.raw.ResumeReplay(ctx, id)
	return answer[api.ReplayJob](c, r, err)
}

// StepReplay has a paused job produce some records more and pause again.
func (c *Client) StepReplay(ctx context.Context, id string, records int64) (*api.ReplayJob, error) {
	r, err := c.raw.StepReplay(ctx, id, api.StepRequest{Records: &records})
	return answer[api.ReplayJob](c, r, err)
}

// PaceReplay changes how fast a job produces.
func (c *Client) PaceReplay(ctx context.Context, id string, pace api.ReplayPace) (*api.ReplayJob, error) {
	r, err := c.raw.PaceReplay(ctx, id, pace)
	return answer[api.ReplayJob](c, r, err)
}

// DryRunReplay has everything that a plan names read, and nothing produced.
func (c *Client) DryRunReplay(ctx context.Context, id string) (*api.DryRun, error) {
	r, err := c.streams.DryRunReplay(ctx, id)
	return answer[api.DryRun](c, r, err)
}

// GroupOffsets asks where a consumer group stands in a replay's target.
func (c *Client) GroupOffsets(ctx context.Context, id string, params api.GetGroupOffsetsParams) (*api.GroupOffsets, error) {
	r, err := c.raw.GetGroupOffsets(ctx, id, &params)
	return answer[api.GroupOffsets](c, r, err)
}

// CommitGroupOffsets commits it.
func (c *Client) CommitGroupOffsets(ctx context.Context, id string, request api.GroupOffsetsRequest) (*api.GroupOffsets, error) {
	r, err := c.raw.CommitGroupOffsets(ctx, id, request)
	return answer[api.GroupOffsets](c, r, err)
}

// ReplayFiles lists what a replay wrote into files.
func (c *Client) ReplayFiles(ctx context.Context, id string) (*api.ReplayFiles, error) {
	r, err := c.raw.ListReplayFiles(ctx, id)
	return answer[api.ReplayFiles](c, r, err)
}

// ReplayFile writes one of them, by its place in the list.
func (c *Client) ReplayFile(ctx context.Context, id string, number int32, w io.Writer) error {
	r, err := c.streams.GetReplayFile(ctx, id, number)
	if err != nil {
		return c.unreachable(err)
	}
	defer r.Body.Close()
	return c.copyBody(r, w)
}

// MapReplayOffset pairs an offset of a source with one of its target.
func (c *Client) MapReplayOffset(ctx context.Context, id string, q api.MapReplayOffsetParams) (*api.OffsetPair, error) {
	r, err := c.raw.MapReplayOffset(ctx, id, &q)
	return answer[api.OffsetPair](c, r, err)
}

// CancelReplay stops a job for good.
func (c *Client) CancelReplay(ctx context.Context, id string) (*api.ReplayJob, error) {
	r, err := c.raw.CancelReplay(ctx, id)
	return answer[api.ReplayJob](c, r, err)
}

// ApproveReplay lets a job that somebody else asked for be begun; id is the whole one.
func (c *Client) ApproveReplay(ctx context.Context, id, comment string) (*api.ReplayJob, error) {
	r, err := c.raw.ApproveReplay(ctx, id, api.ApprovalRequest{Comment: &comment})
	return answer[api.ReplayJob](c, r, err)
}

// RejectReplay refuses a job that somebody else asked for, for good; id is the whole
// one.
func (c *Client) RejectReplay(ctx context.Context, id, reason string) (*api.ReplayJob, error) {
	r, err := c.raw.RejectReplay(ctx, id, api.ApprovalRequest{Comment: &reason})
	return answer[api.ReplayJob](c, r, err)
}

// ReplayStop asks whether all replays are stopped.
func (c *Client) ReplayStop(ctx context.Context) (*api.ReplayStop, error) {
	return decode[api.ReplayStop](c, c.raw.GetReplayStop)(ctx)
}

// StopReplays stops all replays.
func (c *Client) StopReplays(ctx context.Context, reason string) (*api.ReplayStop, error) {
	r, err := c.raw.StopReplays(ctx, api.ReplaySwitchRequest{Reason: reason})
	return answer[api.ReplayStop](c, r, err)
}

// StartReplays lets replays go on after all were stopped.
func (c *Client) StartReplays(ctx context.Context, reason string) (*api.ReplayStop, error) {
	r, err := c.raw.StartReplays(ctx, api.ReplaySwitchRequest{Reason: reason})
	return answer[api.ReplayStop](c, r, err)
}

// ReplayReceipt writes a job's receipt to w, as a page of HTML.
func (c *Client) ReplayReceipt(ctx context.Context, id string, w io.Writer) error {
	r, err := c.streams.GetReplayReceipt(ctx, id)
	if err != nil {
		return c.unreachable(err)
	}
	defer r.Body.Close()
	return c.copyBody(r, w)
}
