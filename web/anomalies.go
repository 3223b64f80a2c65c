package web

import (
	"context"

	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// GetAnomalies implements [api.StrictServerInterface].
func (o *operations) GetAnomalies(ctx context.Context, r api.GetAnomaliesRequestObject) (api.GetAnomaliesResponseObject, error) {
	a, err := o.services.Queries.Anomalies(ctx, callOf(ctx).who, value(r.Params.At))
	if err != nil {
		return nil, err
	}
	return api.GetAnomalies200JSONResponse{
		At: writable(a.At), From: writable(a.From), To: writable(a.To), Truncated: a.Truncated,
		Checks: each(a.Checks, anomalyCheckOf), Anomalies: each(a.Anomalies, anomalyOf),
	}, nil
}

func anomalyCheckOf(c *answer.AnomalyCheck) api.AnomalyCheck {
	return api.AnomalyCheck{
		Kind: api.AnomalyKind(c.Kind), State: api.AnomalyCheckState(c.State), Judged: c.Judged, Indeterminate: c.Indeterminate, Note: optional(c.Note),
	}
}

func anomalyOf(a *answer.Anomaly) api.Anomaly {
	return api.Anomaly{
		Kind: api.AnomalyKind(a.Kind), Topic: a.Topic, Partition: a.Partition, Team: optional(a.Team), Component: optional(a.Component),
		EventType: optional(a.EventType), From: writable(a.From), To: writable(a.To), Value: a.Value, Expected: a.Expected,
		Evidence: a.Evidence, Traces: list(a.Traces),
	}
}
