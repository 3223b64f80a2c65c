// Package web answers HTTP: the API under /api/v1, the explorer, the probes and
// the metrics, on one listener.
//
// # What it promises
//
//   - A request reaches a handler only after it was held against
//     schema/openapi.yaml: unknown or repeated parameters, wrong types, values
//     beyond their limits and bodies over [MaxBody] are refused, naming the
//     field.
//   - A web page of somebody else reaches nothing: a foreign Host (DNS
//     rebinding) and a foreign Origin are refused before anything is routed.
//     There are no cookies and no cross-origin headers.
//   - Every error is a problem document (RFC 9457); one table maps
//     [schema.Kind] to a status. What is wrong inside is in the log under the
//     id that the answer carries, not in the answer.
//   - A streamed answer that fails half-way breaks the connection. What arrives
//     whole is whole.
//   - Memory, time, connections and requests at once are bounded. Payloads,
//     ids and query strings never reach the log.
//
// # What it does not
//
// It knows no Kafka, store or index: [Services] are the questions it asks, and
// whoever builds the process answers them. It decides nothing about
// permissions: [Options.Principal] says who asks, and the services decide what
// that principal sees. It has no login of its own and no TLS; [Claimed] takes the
// name that a request gives itself.
//
// # Concurrency
//
// A [Server] is made by [New], bound by [Server.Listen] and served by
// [Server.Run], each once. Services are called from many goroutines at once.
//
// # Files
//
//	services.go              what is asked of the process: about the archive in the shapes of package schema/answer
//	server.go                options, listening, shutting down
//	boundary.go              Host, Origin, headers, principal
//	identity.go              the name that a request gives itself
//	observe.go               log, metrics, panics
//	validate.go              requests against the document
//	problem.go               errors
//	operations.go            what the operations, a file a noun, have in common
//	status.go                what the process is, and whether it is well
//	traces.go, records.go    traces, and what an id may be; one record, and its exact value
//	topics.go, coverage.go   topics, their policies and segments; what is archived of them, and gaps
//	seal.go                  sealing what is buffered
//	export.go                evidence bags
//	search.go                search, its export and its scan
//	verdict.go               verdicts and field histories
//	anomalies.go             what differs from how it was
//	contracts.go             violations, contracts, event types
//	deadletters.go           what Annals could not process
//	deadrecords.go           what services could not process
//	replays.go               plans and jobs, and their requests
//	replay_control.go        what is asked of a running job
//	replay_approval.go       approvals, and the switch that stops all
//	replay_files.go          what a replay wrote into files
//	replay_events.go         a job's progress, and its receipt
//	groupoffsets.go          where a group stands in a replay's target
//	hits.go                  records and hits as API types
//	bytes.go, decoding.go    payloads for people
//	stream.go                answers without a known end
//	explorer.go              the embedded pages
//	probes.go                the probes
//	health.go                what /readyz answers from
package web
