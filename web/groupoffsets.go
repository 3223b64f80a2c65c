package web

import (
	"context"

	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// GetGroupOffsets implements [api.StrictServerInterface].
func (o *operations) GetGroupOffsets(ctx context.Context, r api.GetGroupOffsetsRequestObject) (api.GetGroupOffsetsResponseObject, error) {
	found, err := o.groupOffsets(ctx, r.Id, answer.GroupOffsetsRequest{Group: r.Params.Group, AsOf: value(r.Params.AsOf), Into: value(r.Params.Into)})
	if err != nil {
		return nil, err
	}
	return api.GetGroupOffsets200JSONResponse(*found), nil
}

// CommitGroupOffsets implements [api.StrictServerInterface].
func (o *operations) CommitGroupOffsets(ctx context.Context, r api.CommitGroupOffsetsRequestObject) (api.CommitGroupOffsetsResponseObject, error) {
	b := r.Body
	found, err := o.groupOffsets(ctx, r.Id, answer.GroupOffsetsRequest{Group: b.Group, AsOf: value(b.AsOf), Into: value(b.Into), Nearest: value(b.Nearest), Apply: true})
	if err != nil {
		return nil, err
	}
	return api.CommitGroupOffsets200JSONResponse(*found), nil
}

func (o *operations) groupOffsets(ctx context.Context, id string, request answer.GroupOffsetsRequest) (*api.GroupOffsets, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	found, err := replays.GroupOffsets(ctx, callOf(ctx).who, id, request)
	if err != nil {
		return nil, err
	}
	return &api.GroupOffsets{
		Group: found.Group, Into: found.Into, State: found.State, Taken: moment(found.Taken), Applied: found.Applied, Notes: list(found.Notes),
		Partitions: each(found.Partitions, func(g *answer.GroupOffset) api.GroupOffset {
			return api.GroupOffset{
				Source: g.Source, Target: g.Target, Partition: g.Partition, TargetPartition: g.TargetPartition, Committed: g.Committed,
				Status: api.GroupOffsetStatus(g.Status), Exact: g.IsExact(), TargetOffset: g.TargetOffset, Current: g.Current, Note: optional(g.Note),
			}
		}),
	}, nil
}
