package web

import (
	"context"
	"path"

	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// ListReplayFiles implements [api.StrictServerInterface].
func (o *operations) ListReplayFiles(ctx context.Context, r api.ListReplayFilesRequestObject) (api.ListReplayFilesResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	list, err := replays.Files(ctx, callOf(ctx).who, r.Id)
	if err != nil {
		return nil, err
	}
	return api.ListReplayFiles200JSONResponse{
		Id: list.ID, Format: api.ReplayFilesFormat(list.Format),
		Files: each(list.Files, func(f *answer.ReplayFile) api.ReplayFile {
			return api.ReplayFile{
				Key: f.Key, Sha256: f.SHA256.String(), Bytes: f.Bytes, Records: f.Records,
				Topic: f.Topic, TopicId: topicIDOf(f.TopicID), Partition: f.Partition, From: f.From, Next: f.Next,
			}
		}),
	}, nil
}

// GetReplayFile implements [api.StrictServerInterface].
func (o *operations) GetReplayFile(ctx context.Context, r api.GetReplayFileRequestObject) (api.GetReplayFileResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	file, body, err := replays.File(ctx, callOf(ctx).who, r.Id, int(r.Number))
	if err != nil {
		return nil, err
	}
	return exactValue{name: path.Base(file.Key), body: body}, nil
}
