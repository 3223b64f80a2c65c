// Package answer holds what is asked of the archive and what it answers:
// records, traces, pages, coverage. Package query makes the answers, package
// web writes them as the API's types, and a command may read either.
//
// # What it promises
//
// The shapes are plain values without behaviour beyond naming a record. They
// are the process's own, not a wire format: schema/openapi.yaml describes what
// leaves it. Slices may be nil where there is nothing.
//
// # What it does not
//
// It checks nothing: whoever answers a request checks it.
//
// # Concurrency
//
// Whoever gets an answer owns it; reading one from many goroutines is safe.
//
// # Files
//
//   - hit.go: a record as the index knows it, what was searched, not found
//   - trace.go: a trace, its edges, what each step changed
//   - search.go: a page of records, the roles of an id
//   - record.go: one record with its bytes
//   - coverage.go: topics, partitions, segments
package answer
