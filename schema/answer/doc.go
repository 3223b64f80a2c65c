// Package answer holds what is asked of the archive and what it answers:
// records, traces, pages, coverage, replays, exports. Packages query, replay
// and custody make the answers, package web writes them as the API's types, and
// a command may read either.
//
// # What it promises
//
// The shapes are plain values without behaviour beyond naming a record. They
// are the process's own, not a wire format: schema/openapi.yaml describes what
// leaves it. The one exception has tags: package replay keeps a plan and its
// receipt in the job's state object. Slices may be nil where there is
// nothing.
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
//   - replay.go: a replay's request, plan, job and receipt
//   - export.go: an export's request
package answer
