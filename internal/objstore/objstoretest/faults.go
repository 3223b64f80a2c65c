package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Fault is one way a request goes wrong.
type Fault uint8

// The faults. "Applied" means that the store has done what was asked.
const (
	None          Fault = iota
	Refused             // no connection: certainly not applied
	Lost                // the connection breaks before the store sees the request
	ReplyLost           // applied, and then the connection breaks
	Twice               // delivered twice; the second answer comes back
	Late                // no answer; delivered when Faults.Deliver is called
	Error500            // 500 InternalError, not applied
	Applied500          // 500 InternalError, applied all the same
	SlowDown            // 503 SlowDown, not applied
	Conflict            // 409 ConditionalRequestConflict, not applied
	Full                // 507, not applied
	Forbidden           // 403 AccessDenied
	Truncated           // the answer's body breaks off half-way
	NoAnswer            // nothing until the request's own deadline
	ShortAnswer         // half the answer's body under a length to match
	Unranged            // an answer that does not say which range it is
	Expired             // 400 ExpiredToken, not applied
	SkewedClock         // 403 RequestTimeTooSkewed, not applied
	Delayed             // applied and answered, after Faults.Delay
	FlippedAnswer       // one bit of the answer's body is another
	FlippedBody         // one bit of the request's body is another
)

var faultNames = [...]string{
	"none", "refused", "lost", "reply lost", "twice", "late", "500", "applied 500", "503", "409", "507", "403",
	"truncated", "no answer", "short answer", "unranged", "400 expired token", "403 clock skew", "delayed",
	"flipped answer", "flipped body",
}

// String names the fault.
func (f Fault) String() string { return faultNames[f] }

// Faults is a transport that breaks requests. Choose is asked for each request,
// one after another; nil breaks none. It counts every request it is given.
type Faults struct {
	Base   http.RoundTripper
	Choose func(*http.Request) Fault
	Delay  time.Duration // of Delayed

	mu       sync.Mutex
	requests map[string]int
	late     []func() error
}

// Script breaks the requests that match, in turn, by faults, and none after.
func Script(match func(*http.Request) bool, faults ...Fault) func(*http.Request) Fault {
	var mu sync.Mutex
	return func(r *http.Request) Fault {
		mu.Lock()
		defer mu.Unlock()
		if len(faults) == 0 || !match(r) {
			return None
		}
		f := faults[0]
		faults = faults[1:]
		return f
	}
}

// Method matches requests of one method.
func Method(method string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == method }
}

// RoundTrip implements http.RoundTripper.
func (f *Faults) RoundTrip(r *http.Request) (*http.Response, error) {
	fault := f.note(r)
	if fault == None {
		return f.base().RoundTrip(r)
	}
	send, err := repeatable(f.base(), r, fault == FlippedBody)
	if err != nil {
		return nil, err
	}
	switch fault {
	case FlippedBody:
		return send()
	case Delayed:
		select {
		case <-time.After(f.Delay):
			return send()
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	case FlippedAnswer:
		response, err := send()
		if err != nil {
			return nil, err
		}
		return flipped(response)
	case Refused:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	case Lost:
		return nil, broken()
	case ReplyLost, Twice, Applied500:
		response, err := send()
		if err != nil {
			return nil, err
		}
		if err := discard(response); err != nil {
			return nil, err
		}
		switch fault {
		case Twice:
			return send()
		case Applied500:
			return answer(r, http.StatusInternalServerError, "InternalError"), nil
		default:
			return nil, broken()
		}
	case Late:
		f.mu.Lock()
		f.late = append(f.late, func() error {
			response, err := send()
			if err != nil {
				return err
			}
			return discard(response)
		})
		f.mu.Unlock()
		return nil, broken()
	case NoAnswer:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case Truncated, ShortAnswer:
		response, err := send()
		if err != nil {
			return nil, err
		}
		return halve(response, fault == ShortAnswer)
	case Unranged:
		response, err := send()
		if err == nil {
			response.StatusCode = http.StatusOK
			response.Header.Del("Content-Range")
		}
		return response, err
	default:
		return status(r, fault), nil
	}
}

func (f *Faults) base() http.RoundTripper {
	if f.Base != nil {
		return f.Base
	}
	return http.DefaultTransport
}

// CloseIdleConnections lets a Store's Close reach the connections below.
func (f *Faults) CloseIdleConnections() {
	if c, ok := f.base().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (f *Faults) note(r *http.Request) Fault {
	kind := r.Method
	if r.URL.Query().Has("list-type") {
		kind = "LIST"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.requests == nil {
		f.requests = map[string]int{}
	}
	f.requests[kind]++
	if f.Choose == nil {
		return None
	}
	return f.Choose(r)
}

// Count returns how many requests of a kind came since the last Reset: PUT,
// GET, HEAD, DELETE or LIST.
func (f *Faults) Count(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[kind]
}

// Reset begins counting anew.
func (f *Faults) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = nil
}

// Deliver sends what Late kept back, and returns how many requests that were.
func (f *Faults) Deliver() (int, error) {
	f.mu.Lock()
	late := f.late
	f.late = nil
	f.mu.Unlock()
	for _, send := range late {
		if err := send(); err != nil {
			return 0, err
		}
	}
	return len(late), nil
}

// repeatable reads a request's body and returns a function that sends the
// request, each time whole, on a context of its own; with one bit of the body
// flipped, if asked.
func repeatable(base http.RoundTripper, r *http.Request, flip bool) (func() (*http.Response, error), error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	if flip && len(body) > 0 {
		body[len(body)/2] ^= 1
	}
	return func() (*http.Response, error) {
		again := r.Clone(context.WithoutCancel(r.Context()))
		again.Body = io.NopCloser(bytes.NewReader(body))
		again.ContentLength = int64(len(body))
		return base.RoundTrip(again)
	}, nil
}

func status(r *http.Request, f Fault) *http.Response {
	switch f {
	case SlowDown:
		return answer(r, http.StatusServiceUnavailable, "SlowDown")
	case Conflict:
		return answer(r, http.StatusConflict, "ConditionalRequestConflict")
	case Full:
		return answer(r, http.StatusInsufficientStorage, "InsufficientStorage")
	case Forbidden:
		return answer(r, http.StatusForbidden, "AccessDenied")
	case Expired:
		return answer(r, http.StatusBadRequest, "ExpiredToken")
	case SkewedClock:
		return answer(r, http.StatusForbidden, "RequestTimeTooSkewed")
	default:
		return answer(r, http.StatusInternalServerError, "InternalError")
	}
}

func answer(r *http.Request, status int, code string) *http.Response {
	body := fmt.Sprintf("<Error><Code>%s</Code><Message>injected</Message></Error>", code)
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/xml"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func broken() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}
}

func discard(response *http.Response) error {
	_, err := io.Copy(io.Discard, response.Body)
	return errors.Join(err, response.Body.Close())
}

// flipped changes one bit in the middle of an answer's body.
func flipped(response *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	if len(body) > 0 {
		body[len(body)/2] ^= 1
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// halve cuts an answer's body: honestly, with a length to match, or not.
func halve(response *http.Response, honest bool) (*http.Response, error) {
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	half := body[:len(body)/2]
	if honest {
		response.Body = io.NopCloser(bytes.NewReader(half))
		response.ContentLength = int64(len(half))
		response.Header.Set("Content-Length", fmt.Sprint(len(half)))
		return response, nil
	}
	response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(half), failing{}))
	return response, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, broken() }
