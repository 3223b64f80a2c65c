package web

import (
	"context"

	"github.com/fx-risk-ai/annals/web/api"
)

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
