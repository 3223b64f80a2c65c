package web

import (
	"context"
	"io"

	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

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

func exportRequest(r *api.ExportRequest) (answer.ExportRequest, error) {
	id, err := parseID(r.TopicId)
	if err != nil {
		return answer.ExportRequest{}, err
	}
	out := answer.ExportRequest{
		TraceID: value(r.TraceId), Topics: value(r.Topics), TopicID: id, From: value(r.From), To: value(r.To), Case: value(r.Case),
	}
	return out, selection(out.TraceID, out.Topics, out.From, out.To)
}
