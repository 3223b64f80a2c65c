package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/schema"
)

// Connection says how to reach a registry.
type Connection struct {
	URL            string // http or https; a path in it is kept
	User, Password string // of basic authentication; empty: none
	TLS            *tls.Config
}

// Client asks a registry with Confluent's API. It is safe for concurrent use.
type Client struct {
	api       *sr.Client
	transport *http.Transport
}

// Connect makes a Client. Nothing is dialled yet.
func Connect(c Connection) (*Client, error) {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.TLS, ForceAttemptHTTP2: true,
		MaxIdleConns: 2, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
	}
	options := []sr.ClientOpt{sr.URLs(c.URL), sr.UserAgent("annals"), sr.HTTPClient(&http.Client{Transport: bounded{transport}})}
	if c.User != "" {
		options = append(options, sr.BasicAuth(c.User, c.Password))
	}
	api, err := sr.NewClient(options...)
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "open schema registry: %w", err)
	}
	return &Client{api, transport}, nil
}

// Close lets go of idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// bounded cuts answers: the library reads them whole.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(req)
	if err == nil {
		answer.Body = limited{io.LimitReader(answer.Body, maxSchemaSize), answer.Body}
	}
	return answer, err
}

type limited struct {
	io.Reader
	io.Closer
}

// Bounds of what a schema may refer to.
const (
	maxReferences     = 200
	maxReferenceDepth = 32
)

// Fetch implements Fetcher.
func (c *Client) Fetch(ctx context.Context, id extract.SchemaID) (payload.Source, error) {
	var found sr.Schema
	var err error
	if id.GUID == [16]byte{} {
		found, err = c.api.SchemaByID(ctx, int(id.Number))
	} else {
		var subject sr.SubjectSchema
		subject, err = c.api.SchemaByGUID(ctx, id.String())
		found = subject.Schema
	}
	if err != nil {
		return payload.Source{}, fault("ask for schema "+id.String(), err)
	}
	source := payload.Source{Type: found.Type.String(), Text: found.Schema}
	w := walk{Client: c, seen: map[version]bool{}}
	if err := w.references(ctx, found.References, 1); err != nil {
		return payload.Source{}, err
	}
	source.References = w.found
	return source, nil
}

type version struct {
	subject string
	version int
}

// walk gathers what a schema refers to.
type walk struct {
	*Client
	seen  map[version]bool
	found []payload.Reference
}

func (w *walk) references(ctx context.Context, list []sr.SchemaReference, depth int) error {
	for _, ref := range list {
		at := version{ref.Subject, ref.Version}
		if w.seen[at] {
			continue // there already, or among those that lead here
		}
		w.seen[at] = true
		if depth > maxReferenceDepth || len(w.seen) > maxReferences {
			return schema.Errorf(schema.Invalid, "read schema: it refers to more than %d others, or through more than %d", maxReferences, maxReferenceDepth)
		}
		found, err := w.api.SchemaByVersion(ctx, ref.Subject, ref.Version)
		if err != nil {
			return fault("ask for the schema that "+ref.Name+" names", err)
		}
		if err := w.references(ctx, found.References, depth+1); err != nil {
			return err
		}
		w.found = append(w.found, payload.Reference{Name: ref.Name, Text: found.Schema.Schema})
	}
	return nil
}

// fault gives an error its kind: a registry that says 404 does not know, one
// that says anything else than a schema may know later.
func fault(what string, err error) error {
	var said *sr.ResponseError
	if errors.As(err, &said) && said.StatusCode == http.StatusNotFound {
		return schema.Errorf(schema.NotFound, "%s: %w", what, err)
	}
	return schema.Errorf(schema.Unavailable, "%s: %w", what, err)
}
