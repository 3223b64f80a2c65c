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
// An Engine is safe for concurrent use and starts no goroutine that outlives a
// call. Its caches are bounded.
//
// Where to look:
//
//	engine.go       options, the interfaces it needs, New
//	catalog.go      which streams there are, how far; scope of a principal
//	trace.go        Trace: from rows to an answer
//	declared.go     edges that producers declared, in and across traces
//	inferred.go     edges by rule, where nothing was declared
//	order.go        causal order and depth
//	stage.go        what a step did, by which rule
//	compare.go      field-level diffs along edges
//	field.go        one field followed through a trace
//	verdict.go      whether everything is there
//	payload.go      bytes of records: grouped reads of segments, and of Kafka
//	segments.go     opened segments, bounded
//	record.go       one record
//	search.go       search
//	typed.go        a search as it is typed
//	matches.go      all records of a search, as a file
//	scan.go         a search through the bytes of segments, bounded
//	scan_match.go   a record held against a search
//	identify.go     what an id is, and what names it
//	policies.go     what holds for topics
//	withhold.go     what policy takes out of records
//	contracts.go    what records break; a contract held to archived events
//	events.go       the event catalog
//	topics.go       topics, archived or not
//	unarchived.go   topics that are known not to be archived
//	coverage.go     what is archived of every partition
//	account.go      the account of every offset, by status and class
//	gaps.go         gaps, one by one
//	deadletters.go  dead letters, and how many there are of which reason
//	cursor.go       a place in a search
package query
