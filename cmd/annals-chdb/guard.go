package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
)

// guard lets a request in or not. A loopback port is no border: every web page
// in the user's browser can post to it, and so can every other user of the
// machine. So there is a password, no page may call (a browser always sends
// Origin with a cross-site POST), and the Host must be a loopback one (a page
// whose name was rebound to 127.0.0.1 sends its own).
type guard struct {
	user, password string
}

// check returns nil, or the refusal with its status.
func (g guard) check(r *http.Request) *engineError {
	if r.Header.Get("Origin") != "" {
		return refusalf(http.StatusForbidden, codeAuthFailed, "requests of web pages (with an Origin header) are refused here")
	}
	if !loopbackHost(r.Host) {
		return refusalf(http.StatusForbidden, codeAuthFailed, "the Host header must name a loopback address")
	}
	user, password := credentials(r)
	// Both are compared whatever the other says, by hashes of equal length.
	if same(user, g.user)&same(password, g.password) != 1 {
		return exceptionf(codeAuthFailed, "Authentication failed: the user or the password is wrong (the data folder's up.json has them)")
	}
	return nil
}

// credentials reads them from where the client libraries put them: basic
// authentication (clickhouse-go, @clickhouse/client, curl -u), the X-ClickHouse
// headers, or the URL.
func credentials(r *http.Request) (user, password string) {
	if user, password, ok := r.BasicAuth(); ok {
		return user, password
	}
	if user := r.Header.Get("X-ClickHouse-User"); user != "" {
		return user, r.Header.Get("X-ClickHouse-Key")
	}
	q := r.URL.Query()
	return q.Get("user"), q.Get("password")
}

func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}

func loopbackHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if name == "localhost" {
		return true
	}
	if len(name) > 2 && name[0] == '[' && name[len(name)-1] == ']' {
		name = name[1 : len(name)-1]
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}
