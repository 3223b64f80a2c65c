package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/labstack/echo/v5"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
)

// MaxBody is the most a request's body may hold, in bytes.
const MaxBody = 1 << 20

// base is where the document's paths begin.
const base = "/api/v1"

// validator holds requests against the document. There is one router, echo's;
// the operation is looked up by the route that it found, so that the two can
// never disagree.
type validator struct {
	routes  map[string]*routers.Route // "GET /api/v1/records/:topic"
	fixed   map[string][]string       // methods of paths without parameters
	options *openapi3filter.Options
}

func newValidator() (*validator, error) {
	document, err := api.GetSpec()
	if err != nil {
		return nil, fmt.Errorf("read the API's document: %w", err)
	}
	document.Servers = nil
	v := &validator{routes: map[string]*routers.Route{}, fixed: map[string][]string{}, options: &openapi3filter.Options{
		KeepValidatedValue: true,
		SchemaValidationOptions: []openapi3.SchemaValidationOption{
			openapi3.DisableSchemaErrorDetails(),
			openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(func(text string) error {
				_, err := time.Parse(time.RFC3339, text)
				return err
			})),
		},
	}}
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			key := method + " " + base + strings.NewReplacer("{", ":", "}", "").Replace(path)
			v.routes[key] = &routers.Route{Spec: document, Path: path, PathItem: item, Method: method, Operation: operation}
			if !strings.Contains(path, "{") {
				v.fixed[base+path] = append(v.fixed[base+path], method)
			}
		}
		slices.Sort(v.fixed[base+path])
	}
	return v, nil
}

// middleware refuses what the document does not allow.
func (v *validator) middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		r := c.Request()
		route, ok := v.routes[r.Method+" "+c.Path()]
		if !ok {
			return next(c) // no operation: echo's own 404 and 405
		}
		// The router takes /replays/start for a replay's id where it is asked with
		// another method than the document's.
		if methods, ok := v.fixed[r.URL.Path]; ok && !slices.Contains(methods, r.Method) {
			c.Response().Header().Set("Allow", strings.Join(methods, ", "))
			return echo.ErrMethodNotAllowed
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return schema.Errorf(schema.Invalid, "read query: %w", err)
		}
		if err := knownParameters(route.Operation, query); err != nil {
			return err
		}
		input := &openapi3filter.RequestValidationInput{
			Request: r, Route: route, Options: v.options, QueryParams: query, PathParams: map[string]string{},
		}
		for _, p := range c.PathValues() {
			text := p.Value
			if r.URL.RawPath != "" { // the router gives parameters as they came
				if text, err = url.PathUnescape(text); err != nil {
					return schema.InvalidField(p.Name, "read path: %w", err)
				}
			}
			input.PathParams[p.Name] = text
		}
		// The deadline is for the body alone: one that outlives it would end the
		// request's context in the middle of the answer.
		control := callOf(r.Context()).control
		if err := control.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
			return fmt.Errorf("bound body: %w", err)
		}
		if route.Operation.RequestBody == nil && r.ContentLength != 0 {
			return schema.Errorf(schema.Invalid, "this operation takes no body")
		}
		r.Body = http.MaxBytesReader(c.Response(), r.Body, MaxBody)
		if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
			return refusal(err)
		}
		if err := control.SetReadDeadline(time.Time{}); err != nil {
			return fmt.Errorf("bound body: %w", err)
		}
		return next(c)
	}
}

// knownParameters refuses parameters that the operation does not have, and
// values given twice: both would be ignored, and the answer would be to another
// question.
func knownParameters(operation *openapi3.Operation, query url.Values) error {
	for name, values := range query {
		p := operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name)
		switch {
		case p == nil:
			return schema.InvalidField(name, "parameter %.64q is not known here", name)
		case len(values) > 1 && !p.Schema.Value.Type.Is(openapi3.TypeArray):
			return schema.InvalidField(name, "parameter %q is given %d times", name, len(values))
		case values[0] == "" && (p.Schema.Value.Type.Is(openapi3.TypeInteger) || p.Schema.Value.Type.Is(openapi3.TypeNumber) || p.Schema.Value.Type.Is(openapi3.TypeBoolean)):
			return schema.InvalidField(name, "parameter %q is empty: leave it out, or give it a value", name)
		}
	}
	return nil
}

// refusal says which field does not hold, without repeating what was sent.
func refusal(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return withStatus(http.StatusRequestEntityTooLarge,
			schema.Errorf(schema.Invalid, "the body is larger than %d bytes", large.Limit))
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return schema.Errorf(schema.Invalid, "the body ends too early")
	}
	var request *openapi3filter.RequestError
	if !errors.As(err, &request) {
		return schema.Errorf(schema.Invalid, "check request: %w", err)
	}
	field, reason := "", request.Reason
	var broken *openapi3.SchemaError
	if errors.As(err, &broken) {
		field, reason = strings.Join(broken.JSONPointer(), "."), broken.Reason
	} else if request.Err != nil {
		reason = strings.TrimPrefix(request.Error(), "request body has an error: ")
	}
	if p := request.Parameter; p != nil {
		return schema.InvalidField(p.Name, "%s: %s", p.Name, strings.TrimPrefix(reason, fmt.Sprintf("parameter %q in %s has an error: ", p.Name, p.In)))
	}
	if strings.Contains(reason, "Content-Type") {
		return withStatus(http.StatusUnsupportedMediaType, schema.Errorf(schema.Invalid, "the body must be application/json"))
	}
	if field == "" {
		return schema.Errorf(schema.Invalid, "body: %s", reason)
	}
	return schema.InvalidField(field, "%s: %s", field, reason)
}
