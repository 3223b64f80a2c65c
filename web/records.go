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

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// record reads the record that a path and its parameters name.
func (o *operations) record(ctx context.Context, at schema.Coordinates, id *string, branch *int32) (*answer.Record, error) {
	parsed, err := parseID(id)
	if err != nil {
		return nil, err
	}
	request := answer.RecordRequest{Coordinates: at, Branch: branch, TopicID: parsed}
	return o.services.Queries.Record(ctx, callOf(ctx).who, request)
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
