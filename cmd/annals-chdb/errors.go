package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
)

// code is an error code of ClickHouse.
type code int

// The codes that this process answers with itself.
const (
	codeBadArguments   code = 36
	codeNotImplemented code = 48
	codeSyntax         code = 62
	codeUnknownFormat  code = 73
	codeUnknownSetting code = 115
	codeReadonly       code = 164
	codeTooManyQueries code = 202
	codeNetwork        code = 210
	codeTooLarge       code = 396
	codeAuthFailed     code = 516
	codeUnknown        code = 1002
)

var codeNames = map[code]string{
	codeBadArguments:   "BAD_ARGUMENTS",
	codeNotImplemented: "NOT_IMPLEMENTED",
	codeSyntax:         "SYNTAX_ERROR",
	codeUnknownFormat:  "UNKNOWN_FORMAT",
	codeUnknownSetting: "UNKNOWN_SETTING",
	codeReadonly:       "READONLY",
	codeTooManyQueries: "TOO_MANY_SIMULTANEOUS_QUERIES",
	codeNetwork:        "NETWORK_ERROR",
	codeTooLarge:       "TOO_MANY_ROWS_OR_BYTES",
	codeAuthFailed:     "AUTHENTICATION_FAILED",
	codeUnknown:        "UNKNOWN_EXCEPTION",
}

// engineError is an exception of ClickHouse: a code of its list, a text, and
// the HTTP status it is answered with.
type engineError struct {
	code   code
	status int
	text   string
}

func (e *engineError) Error() string { return e.text }

// exceptionf makes an exception of our own in the engine's form, which the
// client libraries parse: "Code: N. DB::Exception: text. (NAME)".
func exceptionf(c code, format string, args ...any) *engineError {
	return refusalf(statusOf(c), c, format, args...)
}

// refusalf is exceptionf with a status that says more than the code's own.
func refusalf(status int, c code, format string, args ...any) *engineError {
	return &engineError{code: c, status: status, text: fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", c, fmt.Sprintf(format, args...), codeNames[c])}
}

func engineErrorf(format string, args ...any) *engineError {
	return exceptionf(codeUnknown, format, args...)
}

var exceptionCode = regexp.MustCompile(`Code:\s*(\d{1,5})`)

// parseEngineError takes the code out of the engine's text.
func parseEngineError(text string) *engineError {
	m := exceptionCode.FindStringSubmatch(text)
	if m == nil {
		return exceptionf(codeUnknown, "%s", text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return exceptionf(codeUnknown, "%s", text)
	}
	return &engineError{code: code(n), status: statusOf(code(n)), text: text}
}

// statusOf maps an exception to an HTTP status the way ClickHouse's own
// handler does (exceptionCodeToHTTPStatus): what the caller got wrong is 4xx.
func statusOf(c code) int {
	switch c {
	case codeBadArguments, codeSyntax, codeNetwork, 6, 26, 27, 38, 41, 42, 43, 53, 69, 70, 72, 117, 130, 321, 456, 457:
		return http.StatusBadRequest
	case codeUnknownFormat, codeUnknownSetting, 16, 46, 47, 50, 56, 60, 81:
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
