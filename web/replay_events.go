package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// WatchReplay implements [api.StrictServerInterface].
func (o *operations) WatchReplay(ctx context.Context, r api.WatchReplayRequestObject) (api.WatchReplayResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	return events{ctx: ctx, replays: replays, id: r.Id, seen: value(r.Params.LastEventID), leaving: o.leaving}, nil
}

// events are a job's progress as server-sent events (the HTML standard, 9.2). Each
// is the whole job, so that a client that lost some has missed nothing.
type events struct {
	ctx     context.Context
	replays Replays
	id      string
	seen    string // the last one that the client has
	leaving <-chan struct{}
}

// errLeaving ends a stream whose client should ask another time.
var errLeaving = errors.New("the server stops")

// VisitWatchReplayResponse implements [api.WatchReplayResponseObject].
func (e events) VisitWatchReplayResponse(w http.ResponseWriter) error {
	ctx, stop := context.WithCancelCause(e.ctx)
	defer stop(nil)
	go func() {
		select {
		case <-e.leaving:
			stop(errLeaving)
		case <-ctx.Done():
		}
	}()
	out := &eventWriter{w: w, control: callOf(e.ctx).control}
	var last *answer.ReplayJob
	err := e.replays.Watch(ctx, callOf(e.ctx).who, e.id, func(job *answer.ReplayJob) error {
		if job == nil {
			return out.comment()
		}
		last = job
		if eventID(job) == e.seen {
			return nil
		}
		return out.event("job", eventID(job), jobOf(job))
	})
	switch {
	case err == nil && !out.begun && last != nil: // all of it was seen
		w.WriteHeader(http.StatusNoContent)
		return nil
	case err == nil:
		return out.event("end", "", struct{}{})
	case errors.Is(context.Cause(ctx), errLeaving):
		err = nil // the client asks again by itself
	}
	if err != nil && out.begun {
		return &brokenError{err}
	}
	return err
}

// eventID tells one state of a job from another.
func eventID(j *answer.ReplayJob) string {
	return fmt.Sprintf("%d-%s-%d-%d", j.Updated.UnixNano(), j.State, j.Produced, j.ReadBack)
}

// eventWriter begins the answer with the first event.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (e *eventWriter) event(name, id string, data any) error {
	body, err := json.Marshal(data) // has no line break
	if err != nil {
		return schema.Errorf(schema.Internal, "encode event: %w", err)
	}
	text := "event: " + name + "\n"
	if id != "" {
		text += "id: " + id + "\n"
	}
	return e.write(text + "data: " + string(body) + "\n\n")
}

// comment keeps proxies from taking the silence for the end.
func (e *eventWriter) comment() error { return e.write(":\n\n") }

func (e *eventWriter) write(text string) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return fmt.Errorf("bound write: %w", err)
	}
	if !e.begun {
		e.begun = true
		h := e.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no") // nginx would keep them back
		e.w.WriteHeader(http.StatusOK)
		text = "retry: 2000\n\n" + text
	}
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	return e.control.Flush()
}

// receiptPolicy lets the page use nothing but its own style.
const receiptPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"

// GetReplayReceipt implements [api.StrictServerInterface].
func (o *operations) GetReplayReceipt(ctx context.Context, r api.GetReplayReceiptRequestObject) (api.GetReplayReceiptResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	page, err := replays.Receipt(ctx, callOf(ctx).who, r.Id)
	if err != nil {
		return nil, err
	}
	return receiptPage(page), nil
}

// receiptPage is a receipt as HTML.
type receiptPage []byte

// VisitGetReplayReceiptResponse implements [api.GetReplayReceiptResponseObject].
func (p receiptPage) VisitGetReplayReceiptResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", receiptPolicy)
	if _, err := w.Write(p); err != nil {
		return &brokenError{err}
	}
	return nil
}
