package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
)

// Error codes of ClickHouse that this process answers with itself.
const (
	codeBadArguments    = 36
	codeUnknownSetting  = 115
	codeUnknownFormat   = 73
	codeNotImplemented  = 48
	codeReadonly        = 164
	codeTooManyQueries  = 202
	codeTooLarge        = 396
	codeSyntax          = 62
	codeAuthFailed      = 516
	codeUnknownDatabase = 81
	codeNetwork         = 210
	codeCancelled       = 394
	codeUnknown         = 1002
)

// engineError is an exception of ClickHouse: a code of its list and a text.
type engineError struct {
	code int
	text string
	// status is the HTTP status where we know a better one than the code's.
	status int
}

func (e *engineError) Error() string { return e.text }

func engineErrorf(format string, args ...any) *engineError {
	return exceptionf(codeUnknown, format, args...)
}

// exceptionf makes an exception of our own in the engine's form, which the
// client libraries parse ("Code: N. DB::Exception: …").
func exceptionf(code int, format string, args ...any) *engineError {
	return &engineError{code: code, text: fmt.Sprintf("Code: %d. DB::Exception: ", code) + fmt.Sprintf(format, args...)}
}

var exceptionCode = regexp.MustCompile(`Code:\s*(\d+)`)

// parseEngineError takes the code out of the engine's text.
func parseEngineError(text string) *engineError {
	m := exceptionCode.FindStringSubmatch(text)
	if m == nil {
		return exceptionf(codeUnknown, "%s", text)
	}
	code, err := strconv.Atoi(m[1])
	if err != nil {
		code = codeUnknown
	}
	return &engineError{code: code, text: text}
}

// statusOf maps an exception to an HTTP status the way ClickHouse's own
// handler does (exceptionCodeToHTTPStatus): what the caller got wrong is 4xx.
func statusOf(e *engineError) int {
	if e.status != 0 {
		return e.status
	}
	switch e.code {
	case codeBadArguments, codeSyntax, 6, 26, 27, 38, 41, 42, 43, 53, 69, 70, 72, 117, 130, 321, 457:
		return http.StatusBadRequest
	case 16, 46, 47, 50, 56, 60, codeUnknownFormat, codeUnknownDatabase, codeUnknownSetting:
		return http.StatusNotFound
	case codeReadonly:
		return http.StatusForbidden
	case codeAuthFailed:
		return http.StatusUnauthorized
	case codeTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeNotImplemented:
		return http.StatusNotImplemented
	case codeTooManyQueries:
		return http.StatusServiceUnavailable
	case 159:
		return http.StatusRequestTimeout
	}
	return http.StatusInternalServerError
}
