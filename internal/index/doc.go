// Package index keeps the archive's index in ClickHouse: what is looked up by
// trace, by any id, by time and type, and where in the archive it is.
//
// The index is derived. Everything in it can be made again from the archive,
// and losing it loses nothing. It holds no payloads, keys, headers or hashes
// of payloads.
//
// What the package promises: inserts are idempotent (a row's key ends in the
// record's identity: topic ID, partition, branch, offset), whatever is sent
// again, in whatever order; every read is bounded in rows, memory and time and
// says when a limit cut it; parameters are bound, never spliced into SQL.
// What it does not: it decides nothing about permissions (callers give the
// topics a read may see) and nothing about what is archived (the ledger does).
//
// An Index is safe for concurrent use. Its client library keeps goroutines for
// pooled connections until Close.
//
// Where to look:
//
//	index.go     options, client, ping
//	migrate.go   the runner of ddl/*.sql, one statement a file
//	period.go    which table partition a record time belongs to; retention
//	hash.go      the hash of ids
//	table.go     column lists, and the sending of a block
//	native.go    a block as ClickHouse's Native format, encoded while it is sent
//	insert.go    records: cut into blocks by table partition
//	block.go     the rows of one block, column by column
//	position.go  how far each stream is indexed
//	segment.go   the row of a commit
//	summary.go   rollups of a segment
//	violations.go  what records break which rule; volumes of types; counts
//	hours.go     volumes of single hours
//	topology.go  which topics feed which, by sampled causes
//	turns.go     the queue of reads, by kind
//	read.go      what reads share: scope, hits, one bounded query
//	trace.go     a trace's records
//	lookup.go    records by any id, and who names it
//	search.go    records by time, topic, type, service, stage
//	walk.go      the spans of time in which a search looks
//	stream.go    what is sealed and indexed of each stream; covering segments
//	size.go      what the index takes, and what topics have in the archive
//	version.go   which rows of a record count; the deletion of the others
//	compare.go   what the tables have of records, to be held against the archive; records that nobody sealed go
//	claim.go     the version under which a stream is read again
//	cluster.go   a topic ID is of one cluster
//	tail.go      what is indexed behind the ends of chains
//	known.go     which commits of a chain are indexed
//	examine.go   whether a ClickHouse can be relied on, for annals doctor
//	fault.go     ClickHouse's errors and their kinds
package index
