package schema

import (
	"errors"
	"fmt"
)

// Kind classes an error for whoever stands at the boundary. Each is mapped
// once to an HTTP status (package web), an exit code (package cmd/annals) and
// a metric label.
type Kind uint8

// The kinds.
const (
	Internal    Kind = iota // a fault of ours; also every error without a kind
	Invalid                 // the request cannot mean anything: mend it
	NotFound                // nothing there under that name, for this viewer
	Conflict                // somebody else was first, or the state does not allow it
	Permission              // who asks may not
	Corrupt                 // bytes do not match what was promised
	Unavailable             // a store or broker does not answer: try again later
	Exhausted               // a limit or budget was reached
)

var kindNames = [...]string{
	"internal", "invalid", "not_found", "conflict", "permission", "corrupt", "unavailable", "exhausted",
}

// String gives the metric label.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error is an error with a kind. Field names the request field at fault and
// Hint says what to do next; both may be empty.
type Error struct {
	Kind  Kind
	Field string
	Hint  string
	Err   error
}

// Error returns the wrapped message.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error of a kind; the format takes %w.
func Errorf(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// InvalidField makes an Invalid error that names the field at fault.
func InvalidField(field, format string, args ...any) error {
	return &Error{Kind: Invalid, Field: field, Err: fmt.Errorf(format, args...)}
}

// WithHint adds what to do next to an error and keeps its kind.
func WithHint(err error, hint string) error {
	return &Error{Kind: KindOf(err), Hint: hint, Err: err}
}

// KindOf returns the kind of the outermost Error in err's chain, and Internal
// if there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
