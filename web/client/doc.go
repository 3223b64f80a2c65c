// Package client asks a running Annals over its web API: package web's other
// side, for the command line and for Go programs.
//
// # What it promises
//
//   - Answers are the types of package api. Numbers inside payloads are
//     [encoding/json.Number], with every digit.
//   - A problem document becomes a [schema.Error] with the kind, field and hint
//     it names, inside a [ProblemError] that has the rest.
//   - An answer that breaks off is an error, never a short answer.
//
// # What it does not
//
// It does not retry, and it checks nothing that the server checks. It follows no
// redirects: a redirect would send the question to somebody else.
//
// # Concurrency
//
// A [Client] may be used from several goroutines.
//
// # Files
//
//	client.go      Client, and questions about the archive
//	replays.go     those about replays
//	client.gen.go  generated; oapi-codegen.yaml says how
package client
