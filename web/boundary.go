package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// policyHeader lets pages use what this server sends and nothing else.
const policyHeader = "default-src 'self'; script-src 'self'; style-src 'self'; object-src 'none'; " +
	"base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

// secure sets the headers that every answer has.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", policyHeader)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// hosts are the names under which the server answers. A web page can point a
// name of its own at a loopback address, and would then be of the same origin
// as the server (DNS rebinding); it cannot choose what the Host header says.
type hosts map[string]bool

func newHosts(allowed []string) (hosts, error) {
	h := hosts{"localhost": true}
	for _, name := range allowed {
		clean := strings.TrimSuffix(strings.ToLower(name), ".")
		if clean == "" || strings.ContainsAny(clean, "/*@ \t") || strings.Contains(clean, ":") && !isAddress(clean) {
			return nil, schema.InvalidField("web.allowed_hosts", "web.allowed_hosts: %q is no host name; write it without scheme, port and wildcards", name)
		}
		h[clean] = true
	}
	return h, nil
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// allows tells whether a Host header names this server: loopback, an allowed
// name, or the very address that the connection came in on, which is no name
// that could be pointed elsewhere (probes and scrapers use it).
func (h hosts) allows(host string, local net.Addr) bool {
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if h[name] {
		return true
	}
	address, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	address = address.Unmap()
	if address.IsLoopback() {
		return true
	}
	here, err := netip.ParseAddrPort(fmt.Sprint(local))
	return err == nil && here.Addr().Unmap() == address
}

// boundary refuses requests that a web page of somebody else could have sent.
func (s *Server) boundary(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		if err := s.admit(r); err != nil {
			c := callOf(r.Context())
			c.route, c.err = "refused", err
			writeProblem(w, problemOf(err, c.id))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) admit(r *http.Request) error {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !s.hosts.allows(r.Host, local) {
		return schema.WithHint(schema.Errorf(schema.Permission, "this server does not answer under the name %.100q", r.Host),
			"add the name to web.allowed_hosts, or use localhost")
	}
	if !ownOrigin(r) {
		return schema.Errorf(schema.Permission, "requests from other web pages are refused")
	}
	return nil
}

// ownOrigin refuses what another site's page sent. Browsers name the page in
// Origin or, where they leave that out, its relation in Sec-Fetch-Site;
// programs send neither. A link that leads to the explorer is fine, one that
// leads into the API is not: that is stricter than http.CrossOriginProtection,
// which lets every GET pass.
func ownOrigin(r *http.Request) bool {
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return false
		}
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "same-origin", "none":
		return true
	default:
		return isPage(r.URL.Path) && r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate"
	}
}

// isPage tells paths of the explorer from those of programs.
func isPage(path string) bool {
	return path != "/api" && !strings.HasPrefix(path, "/api/") && path != "/metrics" && path != "/healthz" && path != "/readyz"
}
