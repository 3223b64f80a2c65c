// Package schema holds the shapes and formats that everything in Annals
// shares: the record as Kafka served it, what is extracted from it, the commit
// that makes it archived, the names of the objects it is kept in, and the
// kinds of error that cross a boundary.
//
// The package imports the standard library only, so that a verifier written by
// somebody else can take it as it is. It does no input or output and keeps no
// state; every value is safe for concurrent reads.
//
// Where to look:
//
//	topic.go       what Kafka allows as a topic's name
//	record.go      TopicID, Stream, Position, Record, Header, Status
//	extraction.go  contract fields, causes and identifiers read from a record
//	commit.go      the ledger's commit, its parts and its invariants
//	canonical.go   the commit's bytes: encode, parse, digest
//	gaps.go        the bytes of a gap list that is too long for its commit
//	deadletter.go  what could not be processed, with its context
//	consumers.go   snapshots of consumer groups' offsets and topics' ACLs
//	strict.go      one JSON value, with nothing that its reader does not know
//	format.go      names and versions that bytes give themselves
//	key.go         object keys below the archive's prefix
//	error.go       kinds of error, mapped once to HTTP status and exit code
//	answer/        what is asked of the archive and what it answers
//	openapi.yaml   the web API, source of server types and client
//
// The normative description of the formats is in docs/formats.
package schema
