// Package query answers questions about what is archived: every hop of a
// trace and what each did, records by time, type or any id, one record's
// bytes, and how far the archive is. It reads the index, the segments and the
// ledger, and from Kafka what is indexed but not yet sealed.
//
// Every method takes the principal that asks. A topic it may not see does not
// exist for it: not in answers, counts or errors. A parent in such a topic
// looks like one that was never archived.
//
// What it promises: an answer holds committed records only, unless asked
// otherwise; each hit says whether it is sealed or still fresh; every edge says
// whether a producer declared it or it was inferred, by which rule and how
// surely; what a limit cut is said; "not found" says what was searched. Rows
// that do not count (of other extraction rules than their segment names, or
// never sealed on a branch that ended) are left out.
//
// Requests and answers have the shapes of package schema/answer.
//
// What it does not: it proves nothing (package custody does), and an edge that
// it inferred is a guess, however likely.
//
// An Engine, and a Watch, are safe for concurrent use. An Engine starts no goroutine that outlives a
// call. Its caches are bounded.
//
// Where to look:
//
//	engine.go       options, the interfaces it needs, New
//	catalog.go      which streams there are, how far; scope of a principal
//	trace.go        Trace: from rows to an answer
//	traces.go       the records of many traces, in few look-ups
//	archived.go     a trace from the segments alone, without the index
//	flow.go         a trace followed into others
//	declared.go     edges that producers declared, in and across traces
//	inferred.go     edges where nothing was declared
//	pattern.go      which way of inferring is right, learned from declared edges
//	choose.go       the ways of choosing parents among earlier hops
//	businessid.go   what looks like an id in a payload
//	feeds.go        which topics feed which
//	order.go        causal order and depth
//	stage.go        what a step did, by which rule
//	kinds.go        stages of types that a search asks about, however old their records are
//	compare.go      field-level diffs along edges
//	field.go        one field followed through a trace
//	verdict.go      whether everything is there
//	anomalies.go    what differs from how it was, by fixed rules
//	baseline.go     a topic's records in an hour and in those it is held against
//	waits.go        partitions that wait for too long
//	watch.go        the metrics of what differs
//	payload.go      bytes of records: grouped reads of segments, and of Kafka
//	opened.go       opened segments, bounded
//	record.go       one record
//	search.go       search
//	typed.go        a search as it is typed
//	named.go        a search by keys and headers that the index has
//	matches.go      all records of a search, as a file
//	scan.go         a search through the bytes of segments, bounded
//	scan_match.go   a record held against a search
//	identify.go     what an id is, and what names it
//	policies.go     what holds for topics
//	decoding.go     what a schema makes of one record's value
//	withhold.go     what policy takes out of records; documents by their schemas
//	contracts.go    what records break; a contract held to archived events
//	events.go       the event catalog
//	topics.go       topics, archived or not
//	unarchived.go   topics that are known not to be archived
//	coverage.go     what is archived of every partition
//	segments.go     the current segments of a topic, for SQL
//	views.go        the chains, resolved once and read on
//	account.go      the account of every offset, by status and class
//	gaps.go         gaps, one by one
//	unsealed.go     how many records are indexed and not in the ledger yet
//	deadletters.go  what Annals could not process, and how many there are of which reason
//	deadrecords.go  what services could not process, from their dead letter topics
//	deadgroups.go   what these failed of
//	deadchain.go    what one of them went through
//	cursor.go       a place in a search
package query
