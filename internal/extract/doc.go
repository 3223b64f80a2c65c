// Package extract reads the contract fields, ids and declared causes of a
// record: from its headers first, in every dialect it knows, then from its
// payload where the headers leave something open.
//
// # What it promises
//
// Extraction never fails and never panics, whatever the bytes. It is a pure
// function of the record and the rules, so that it can be computed again years
// later (schema.ExtractVersion numbers the rules). Every text it gives is
// printable UTF-8 of at most MaxIDBytes; every list is bounded. What is
// malformed is never passed on as an id: it is named in Extraction.Errors by
// one of the codes of errors.go. A field that is simply absent is no error,
// except on a topic with a contract.
//
// # What it does not
//
// It decodes JSON only; Avro and Protobuf payloads are read through
// Options.Decoder, and without one give their schema id and nothing else. It
// infers nothing: a cause is here because the producer, or
// the framework that copied the record, said so. A payload is not read when
// the headers give every contract field and a cause, nor when it is larger
// than MaxPayloadBytes; nothing is taken from a payload that is not valid
// JSON as a whole.
//
// # Which value wins
//
// An override of the topic, then headers, then the payload. Among headers the
// plain contract names win over traceparent, that over B3, that over the tracers
// of vendors (Elastic, Jaeger, Datadog, Amazon, SkyWalking), those over the
// CloudEvents attributes; under one name the last value wins. Ids that lose
// are kept as identifiers: an earlier traceparent is the parent's, seen where
// a service forwards headers, and is kept as schema.RefSpan and
// schema.RefTrace.
//
// A copy keeps the headers of its original, so what a framework says of the
// copy outweighs a declared stage: replay, then dead letter, then the
// producer's word.
//
// # Concurrency
//
// Rules are immutable to their users and safe for concurrent use. The strings
// of an Extraction share no memory with the record.
//
// Where to look:
//
//	rules.go        Options, New, Extract: the order of the steps
//	dialect.go      the table of dialects: which name plays which role
//	reading.go      what one record's names and values say
//	trace.go        trace and span ids: W3C, B3, plain
//	vendor.go       trace and span ids of vendors' tracers
//	coordinates.go  topic/partition/offset of inputs and originals
//	timestamp.go    RFC 3339 and epoch numbers
//	envelope.go     finding the fields in a JSON payload, schema ids
//	decode.go       payloads that name a schema: Document, Decoded
//	contracts.go    holding a record to the contract of its type
//	kind.go         the type of a record whatever is withheld of it
//	scan.go         a validating JSON scanner that builds no tree
//	location.go     where an override looks: header or JSON pointer
//	finds.go        which keys and headers records are in the index by
//	lookup.go       NormalizeID: the spellings an any-id search tries
//	errors.go       codes and bounds
package extract
