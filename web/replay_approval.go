package web

import (
	"context"

	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// ApproveReplay implements [api.StrictServerInterface].
func (o *operations) ApproveReplay(ctx context.Context, r api.ApproveReplayRequestObject) (api.ApproveReplayResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	job, err := replays.Approve(ctx, callOf(ctx).who, r.Id, value(r.Body.Comment))
	if err != nil {
		return nil, err
	}
	return api.ApproveReplay200JSONResponse(jobOf(job)), nil
}

// RejectReplay implements [api.StrictServerInterface].
func (o *operations) RejectReplay(ctx context.Context, r api.RejectReplayRequestObject) (api.RejectReplayResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	job, err := replays.Reject(ctx, callOf(ctx).who, r.Id, value(r.Body.Comment))
	if err != nil {
		return nil, err
	}
	return api.RejectReplay200JSONResponse(jobOf(job)), nil
}

// GetReplayStop implements [api.StrictServerInterface].
func (o *operations) GetReplayStop(ctx context.Context, _ api.GetReplayStopRequestObject) (api.GetReplayStopResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	stop, err := replays.Stopped(ctx, callOf(ctx).who)
	if err != nil {
		return nil, err
	}
	return api.GetReplayStop200JSONResponse(stopOf(stop)), nil
}

// StopReplays implements [api.StrictServerInterface].
func (o *operations) StopReplays(ctx context.Context, r api.StopReplaysRequestObject) (api.StopReplaysResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	stop, err := replays.StopAll(ctx, callOf(ctx).who, r.Body.Reason)
	if err != nil {
		return nil, err
	}
	return api.StopReplays200JSONResponse(stopOf(stop)), nil
}

// StartReplays implements [api.StrictServerInterface].
func (o *operations) StartReplays(ctx context.Context, r api.StartReplaysRequestObject) (api.StartReplaysResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	stop, err := replays.StartAll(ctx, callOf(ctx).who, r.Body.Reason)
	if err != nil {
		return nil, err
	}
	return api.StartReplays200JSONResponse(stopOf(stop)), nil
}

func stopOf(s *answer.ReplayStop) api.ReplayStop {
	return api.ReplayStop{Stopped: s.Stopped, History: each(s.History, func(c *answer.ReplaySwitch) api.ReplaySwitch {
		return api.ReplaySwitch{Stopped: c.Stopped, By: c.By, At: c.At.UTC(), Reason: c.Reason}
	})}
}

// approvalOf is nil if none is needed.
func approvalOf(a *answer.ReplayApproval) *api.ReplayApproval {
	if a == nil {
		return nil
	}
	return &api.ReplayApproval{AskedBy: a.AskedBy, Asked: a.Asked.UTC(), Decisions: each(a.Decisions, func(d *answer.ApprovalDecision) api.ApprovalDecision {
		return api.ApprovalDecision{
			Verdict: api.ApprovalDecisionVerdict(d.Verdict), Plan: d.Plan, By: d.By, At: d.At.UTC(), Comment: d.Comment, Expires: moment(d.Expires),
		}
	})}
}
