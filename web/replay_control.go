package web

import (
	"context"

	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// PauseReplay implements [api.StrictServerInterface].
func (o *operations) PauseReplay(ctx context.Context, r api.PauseReplayRequestObject) (api.PauseReplayResponseObject, error) {
	job, err := o.job(ctx, r.Id, Replays.Pause)
	if err != nil {
		return nil, err
	}
	return api.PauseReplay200JSONResponse(jobOf(job)), nil
}

// ResumeReplay implements [api.StrictServerInterface].
func (o *operations) ResumeReplay(ctx context.Context, r api.ResumeReplayRequestObject) (api.ResumeReplayResponseObject, error) {
	job, err := o.job(ctx, r.Id, Replays.Resume)
	if err != nil {
		return nil, err
	}
	return api.ResumeReplay200JSONResponse(jobOf(job)), nil
}

// StepReplay implements [api.StrictServerInterface].
func (o *operations) StepReplay(ctx context.Context, r api.StepReplayRequestObject) (api.StepReplayResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	job, err := replays.Step(ctx, callOf(ctx).who, r.Id, value(r.Body.Records))
	if err != nil {
		return nil, err
	}
	return api.StepReplay200JSONResponse(jobOf(job)), nil
}

// PaceReplay implements [api.StrictServerInterface].
func (o *operations) PaceReplay(ctx context.Context, r api.PaceReplayRequestObject) (api.PaceReplayResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	job, err := replays.SetPace(ctx, callOf(ctx).who, r.Id, *paceRequest(r.Body))
	if err != nil {
		return nil, err
	}
	return api.PaceReplay200JSONResponse(jobOf(job)), nil
}

// DryRunReplay implements [api.StrictServerInterface].
func (o *operations) DryRunReplay(ctx context.Context, r api.DryRunReplayRequestObject) (api.DryRunReplayResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	run, err := replays.DryRun(ctx, callOf(ctx).who, r.Id)
	if err != nil {
		return nil, err
	}
	return api.DryRunReplay200JSONResponse(dryRunOf(run)), nil
}

// MapReplayOffset implements [api.StrictServerInterface].
func (o *operations) MapReplayOffset(ctx context.Context, r api.MapReplayOffsetRequestObject) (api.MapReplayOffsetResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	pair, err := replays.MapOffset(ctx, callOf(ctx).who, r.Id, answer.OffsetQuery{
		Topic: r.Params.Topic, Partition: r.Params.Partition, Source: r.Params.Source, Target: r.Params.Target,
	})
	if err != nil {
		return nil, err
	}
	return api.MapReplayOffset200JSONResponse{
		Source: pair.Source, Target: pair.Target, Partition: pair.Partition, TargetPartition: pair.TargetPartition, SourceOffset: pair.SourceOffset, TargetOffset: pair.TargetOffset,
	}, nil
}
