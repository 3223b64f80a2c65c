// Package openapi holds schema/openapi.yaml, the document that the API is
// generated from and checked by, against a running server from outside:
// schemathesis, from PyPI, makes requests of it, good and bad, and holds every
// answer to it (status, media type, headers, schema), and that no request makes a
// server error, that what the document refuses is refused, and that what it does
// not have is not there.
//
// It holds tests alone; without Python or its index they are skipped, with the
// reason.
package openapi
