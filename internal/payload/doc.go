// Package payload decodes record values, tells what a step changed, and from
// that what kind of step it was.
//
// # What it promises
//
// Documents are exact: numbers keep their digits, null is not absent, and two
// texts that decoding would make alike without being so (invalid UTF-8, lone
// surrogates) are not documents. A comparison that is not truncated says all:
// made to the parent, its changes give the child's [Canonical] JSON, members
// sorted and no white space (the tests do it). The order of members, white
// space, and all but the last of members with one name are not part of a
// document and so not of a comparison.
//
// Work is bounded: MaxBytes of payload, MaxDepth levels, MaxChanges. What a
// bound cuts is said in Comparison.Truncated and Comparison.Note.
//
// # What it does not
//
// It reads JSON, bare or behind a schema registry's five-byte frame; anything
// else is opaque and compared as bytes. Arrays are compared by index: an
// element put in at the front changes all that follow. It masks nothing: who
// may see a value is decided before it comes here.
//
// # Why not a library
//
// A patch library (RFC 6902) knows neither numbers that are spelt otherwise and
// equal, nor moves that are certain, nor bounds, nor which members are a
// contract's envelope; what would be left for it is one short recursion.
//
// Everything is safe for concurrent use; nothing keeps state.
//
// Where to look:
//
//	decode.go    Decode: formats, exactness, canonical text
//	number.go    decimal numbers by value
//	codec.go     Compile: payloads that a schema of a registry describes
//	avro.go      those of Avro
//	protobuf.go  those of Protobuf
//	diff.go      Comparison, Change, Diff
//	move.go      which removed and added values are one value that moved
//	classify.go  Classify: ingestion, enrichment, transformation, delivery
package payload
