// Package term reads the language in which a search is typed, such as
//
//	service:risk-engine type:FxRate* after:2024-01-01
//
// # The language
//
// Terms are parted by spaces and narrow one another. A term is field:value, or
// a bare word, which is an id of any role (one a search). The fields, in any
// case: topic (several are any of them; so are names with commas), type,
// version, service, partition, stage, status, team (that owns the record),
// violation (a rule that the record breaks), id, after (inclusive) and before
// (exclusive), which are about record times, and event_after and event_before, about
// the time that the event itself says. A * at the end of the value of topic, type, service or violation
// stands for any rest. Four more are about a record's bytes, and may stand
// together: key (the whole key), header.NAME=value (names in any case), payload
// (a text anywhere in the value) and payload/POINTER=value (a JSON Pointer into
// it). Times are a year, a month, a day, a moment (UTC unless it says otherwise),
// now, or an age such as 15m, 2h, 7d, 4w, 1y. Double quotes hold spaces, colons
// and stars together; inside, \" is a quote and \\ a backslash.
//
// # What it promises
//
// A text of any bytes is a [Search] or an [Error] that points at a character.
// Values come out as they were typed, at most MaxValueBytes long and without
// control characters; they are data, to be bound as parameters. The same text
// and moment give the same search.
//
// # What it does not
//
// It knows no topics, types, services or teams, and nothing of what is indexed.
//
// It keeps no state.
//
// # Files
//
//	parse.go   what the fields take
//	scan.go    words and quotes
//	bytes.go   terms about a record's bytes
//	moment.go  times
package term
