// Package answer holds what is asked of the archive and what it answers:
// records, traces, pages, coverage, replays, exports. Packages query, replay
// and custody make the answers, package web writes them as the API's types, and
// a command may read either.
//
// # What it promises
//
// The shapes are plain values without behaviour beyond naming a record, and saying in words what a plan binds. They
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
//	hit.go         a record as the index knows it, what was searched, not found
//	trace.go       a trace, its edges, what each step changed; a flow beyond it
//	search.go      a page of records, the roles of an id
//	matches.go     all records of a search, as a file, and the statement behind it
//	scan.go        a search through the bytes of segments
//	record.go      one record with its bytes
//	verdict.go     whether everything is there; one field through a trace
//	anomaly.go     what differs from how it was
//	coverage.go    topics and what holds for them, partitions, gaps, segments
//	contracts.go   what breaks contracts; event types
//	deadletter.go  what Annals could not process
//	deadrecord.go  what services could not process
//	replay.go      a replay's request, plan, job and receipt
//	terms.go       what a replay's plan binds, in words
//	redrive.go     dead letters that are put back
//	groupoffsets.go where a consumer group stands in a replay's target
//	approval.go    what a second person said of a plan
//	stop.go        the switch that stops all jobs
//	export.go      an export's request
package answer
