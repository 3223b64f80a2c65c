package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/fx-risk-ai/annals/schema"
)

// built is the explorer, or the placeholder alone where it was not built.
//
//go:embed all:ui/dist
var built embed.FS

// contentTypes of what a build holds; the system's table differs by machine.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon",
	".webmanifest": "application/manifest+json", ".woff2": "font/woff2", ".txt": "text/plain; charset=utf-8",
}

// hashed matches names that hold a hash of their content.
var hashed = regexp.MustCompile(`^/assets/.*[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+$`)

// asset is one embedded file, ready to be sent.
type asset struct {
	contentType string
	immutable   bool
	etag        string // hex, without quotes
	plain, gzip []byte // gzip is nil where it would not be smaller
	policy      string // Content-Security-Policy
}

// explorer is the embedded pages, by their path. Paths are looked up, never
// resolved, so there is nothing that could be climbed out of.
type explorer struct {
	assets map[string]*asset
	index  *asset
}

func newExplorer(files fs.FS) (*explorer, error) {
	x := &explorer{assets: map[string]*asset{}}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		x.assets["/"+name], err = newAsset("/"+name, body)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the embedded explorer: %w", err)
	}
	x.index = x.assets["/index.html"]
	if x.index == nil {
		x.index = x.assets["/placeholder.html"]
	}
	if x.index == nil {
		return nil, schema.Errorf(schema.Internal, "read the embedded explorer: neither index.html nor placeholder.html is in it")
	}
	return x, nil
}

func newAsset(name string, body []byte) (*asset, error) {
	sum := sha256.Sum256(body)
	a := &asset{
		contentType: contentTypes[path.Ext(name)], immutable: hashed.MatchString(name),
		etag: hex.EncodeToString(sum[:12]), plain: body, policy: policyHeader,
	}
	if a.contentType == "" {
		a.contentType = "application/octet-stream"
	}
	if name == "/placeholder.html" {
		a.policy = strings.Replace(policyHeader, "style-src 'self'", "style-src 'self'"+inlineStyles(body), 1)
	}
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err = z.Write(body); err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, err
	}
	if out.Len() < len(body)*9/10 {
		a.gzip = out.Bytes()
	}
	return a, nil
}

// inlineStyles permits the placeholder's own style by its hash: one page with
// one file has nowhere else to put it.
func inlineStyles(page []byte) string {
	_, rest, found := bytes.Cut(page, []byte("<style>"))
	style, _, closed := bytes.Cut(rest, []byte("</style>"))
	if !found || !closed {
		return ""
	}
	sum := sha256.Sum256(style)
	return " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// serve answers every path that no other route has.
func (x *explorer) serve(c *echo.Context) error {
	r, w := c.Request(), c.Response()
	if !isPage(r.URL.Path) {
		return echo.ErrNotFound
	}
	callOf(r.Context()).route = "explorer"
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "OPTIONS, GET, HEAD")
		if r.Method == http.MethodOptions {
			return c.NoContent(http.StatusNoContent)
		}
		return echo.ErrMethodNotAllowed
	}
	a, ok := x.assets[r.URL.Path]
	if !ok {
		if !isView(r) {
			return schema.Errorf(schema.NotFound, "no such file")
		}
		a = x.index
	}
	a.send(w, r)
	return nil
}

// isView tells the explorer's own paths, all of which are the one page, from
// files that are missing. Topic names have dots too, so a dot alone is no file.
func isView(r *http.Request) bool {
	if strings.HasPrefix(r.URL.Path, "/assets/") {
		return false
	}
	return !strings.Contains(path.Base(r.URL.Path), ".") || strings.Contains(r.Header.Get("Accept"), "text/html")
}

func (a *asset) send(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Content-Security-Policy", a.policy)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if a.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body, etag := a.plain, a.etag
	if a.gzip != nil && takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body, etag = a.gzip, etag+"-gzip"
	}
	h.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// takesGzip reads Accept-Encoding as far as it matters for one encoding.
func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, parameters, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q := strings.ReplaceAll(parameters, " ", "")
			return q != "q=0" && !strings.HasPrefix(q, "q=0.0") || strings.Trim(q, "q=0.") != ""
		}
	}
	return false
}
