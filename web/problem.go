package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// statuses is the one table from kinds to HTTP.
var statuses = map[schema.Kind]struct {
	status int
	title  string
}{
	schema.Internal:    {http.StatusInternalServerError, "Something went wrong inside Annals"},
	schema.Invalid:     {http.StatusBadRequest, "The request cannot be understood"},
	schema.NotFound:    {http.StatusNotFound, "Not found"},
	schema.Conflict:    {http.StatusConflict, "The state does not allow it"},
	schema.Permission:  {http.StatusForbidden, "Not permitted"},
	schema.Corrupt:     {http.StatusInternalServerError, "Archived bytes do not match what was promised"},
	schema.Unavailable: {http.StatusServiceUnavailable, "A dependency does not answer"},
	schema.Exhausted:   {http.StatusInsufficientStorage, "A limit was reached"},
}

// retryAfter is what a client that met an unavailable dependency waits, in
// seconds.
const retryAfter = "5"

// statusError gives an error another status than its kind's, for what HTTP
// tells apart and kinds do not.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// withStatus makes an error with an HTTP status of its own.
func withStatus(status int, err error) error { return &statusError{status, err} }

// problemOf makes the document for an error. id is the request's, by which the
// log has what an internal error's answer does not say.
func problemOf(err error, id string) api.Problem {
	if errors.Is(err, context.DeadlineExceeded) && schema.KindOf(err) == schema.Internal {
		err = schema.WithHint(schema.Errorf(schema.Unavailable, "the answer took too long: %w", err),
			"ask for less (a shorter time range, a lower limit), or try again later")
	}
	kind := schema.KindOf(err)
	entry := statuses[kind]
	p := api.Problem{
		Type: "urn:annals:error:" + kind.String(), Title: entry.title, Status: entry.status, Detail: err.Error(),
	}
	var own *statusError
	if errors.As(err, &own) {
		p.Status = own.status
	}
	if kind == schema.Internal {
		p.Detail = "the log says what, under trace_id " + id
	}
	field, hint := fieldAndHint(err)
	p.Field, p.Hint = optional(field), optional(hint)
	var placed interface {
		error
		Character() int
	}
	if errors.As(err, &placed) {
		p.At = optional(placed.Character())
	}
	var missing *answer.NotFoundError
	if errors.As(err, &missing) {
		searched := searchedOf(missing.Searched)
		p.Searched = &searched
	}
	return p
}

// fieldAndHint gives the outermost ones in a chain; a hint that is added
// further out must not hide the field.
func fieldAndHint(err error) (field, hint string) {
	for err != nil && (field == "" || hint == "") {
		var e *schema.Error
		if !errors.As(err, &e) {
			break
		}
		if field == "" {
			field = e.Field
		}
		if hint == "" {
			hint = e.Hint
		}
		err = e.Err
	}
	return field, hint
}

// fromRouter gives the router's and the decoder's errors, which know statuses
// only, a kind.
func fromRouter(err error) error {
	var known *schema.Error
	var coder echo.HTTPStatusCoder
	if errors.As(err, &known) || !errors.As(err, &coder) {
		return err
	}
	switch status := coder.StatusCode(); {
	case status == http.StatusNotFound:
		return schema.WithHint(schema.Errorf(schema.NotFound, "no such page or operation"),
			"the operations are listed in schema/openapi.yaml; all of them are below /api/v1")
	case status == http.StatusMethodNotAllowed:
		return withStatus(status, schema.Errorf(schema.Invalid, "this method is not for this address; the Allow header lists those that are"))
	case status >= 400 && status < 500:
		return withStatus(status, schema.Errorf(schema.Invalid, "read request: %w", err))
	}
	return err
}

// writeProblem answers with a problem document.
func writeProblem(w http.ResponseWriter, p api.Problem) {
	body, err := json.Marshal(p)
	if err != nil { // strings and times alone: cannot be
		body = []byte(`{"type":"urn:annals:error:internal","title":"Internal error","status":500,"detail":""}`)
		p.Status = http.StatusInternalServerError
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Del("Content-Disposition")
	h.Del("ETag")
	if p.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", retryAfter)
	}
	w.WriteHeader(p.Status)
	// Nobody is left to tell when the client has gone; the log has the request.
	_, _ = w.Write(append(body, '\n'))
}

// optional is nil for the zero value, which JSON leaves out.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
