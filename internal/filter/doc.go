// Package filter chooses records by an expression in CEL, the Common Expression
// Language (cel.dev), over a record's headers and decoded payload:
//
//	value.amount > 1000 && headers["region"] == "EU"
//
// # The variables
//
// topic (string), partition and offset (int), timestamp (the record's), key,
// headers (a map of the last value of each name), headerList (all of them, in
// order, each with name and value), value (the decoded payload: JSON, Avro or
// Protobuf), and what was extracted when the record was sealed: eventType,
// eventVersion, service, stage, traceId, spanId and eventId (strings, "" where
// there is none) and eventTime (null where there is none). Keys and values of
// headers are strings where they are UTF-8, bytes where not, and null where they
// are null; so is value of a tombstone. Whole numbers of a payload that 64 bits hold
// are ints, all others doubles.
//
// # What it promises
//
// A text is a [Filter], or an error of kind Invalid that points at a character.
// The same record gives the same answer whenever it is asked: there is no now(),
// and nothing outside the record. Work is bounded: MaxBytes of text, an estimate
// of its cost when it is compiled, held against MaxEstimate, and MaxCost for each
// record.
//
// What cannot be told of a record is an error and never "no": a field that is not
// there (has() and .? ask for it), a payload that cannot be decoded, a comparison of
// what cannot be compared, the limit of cost.
//
// # What it does not
//
// It decodes nothing, and knows nothing of what may be looked into: who asks gives
// it what may be.
//
// A Filter is safe for concurrent use.
//
// Where to look:
//
//	filter.go   Compile, Match, bounds
//	record.go   a record as CEL's variables
//	estimate.go what a text may cost, before anything is read
package filter
