// Package runtimes finds Java, Python and Node for tests of what is not written
// in Go, and fetches what their programs need from Maven, PyPI and npm: in the
// versions that a file beside them pins, once, into the user's cache folder.
//
// ErrMissing says what is not on the machine; a test skips with it. Everything
// else is a failure.
package runtimes
