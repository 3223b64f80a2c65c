// Package custody hands records out of the archive as evidence: it writes
// export bags, and verifies them without the archive.
//
// A bag is a BagIt 1.0 directory (RFC 8493) in a tar stream. It holds the
// selected records twice, as Parquet with the columns of a segment and as JSON
// Lines, the commits that say where each came from, a statement for every
// partition of what the ledger knows of it, and a report for people.
//
// # What it promises
//
// An export holds every committed, sealed record that matches and that the
// principal may see, or it fails; what matches and is not sealed is counted
// and said. Each segment that a record comes from is fetched whole and held
// against the hash in its commit first. For one query at one state of the
// ledger data/records/records.jsonl, data/scope.json and data/commits are the
// same bytes every time. Memory is bounded by one row group and one record,
// whatever the size of the export; disk by [Options].SpoolBytes.
//
// [VerifyArchive] needs the bucket alone, and names the object that is not what
// its commit says. [VerifyIndex] holds the index against the archive, record by
// record. [Verify] needs the bag alone. Any changed byte, any file that was added and
// any that is missing is found and named. Beyond the hashes it recounts: the
// Parquet rows are the lines of JSON, lie in the ranges of their commits, and
// where a whole segment is in the bag its record root is computed again.
//
// # What it does not
//
// Bags are not signed yet: who can rewrite records can rewrite the hashes
// beside them. Verify finds what was changed in a bag, not that a whole bag was
// made up; keep the hash of tagmanifest-sha256.txt elsewhere. That the index
// named every record of a trace is not checked.
//
// An Exporter is safe for concurrent use and starts no goroutine. Verify and
// Unpack keep no state.
//
// Where to look:
//
//	export.go        Options, Exporter, Export: the order of the work
//	request.go       what a request may ask for
//	plan.go          which streams and offsets a request means
//	statement.go     what the ledger says of a partition
//	records.go       rows from segments into Parquet and JSON Lines
//	parts.go         seeds and record roots of what was joined into a segment
//	line.go          one record as a line of JSON
//	scope.go         data/scope.json, which ties the bag together
//	bag.go           tar, manifests, tag files
//	spool.go         bounded temporary files
//	lineage.go       a trace as the report's steps
//	report.go        data/report/report.html
//	unpack.go        Unpack
//	verify.go        Verify: files and hashes
//	contents.go      Verify: what is in the files
//	result.go        Report, Finding, Result
//	archive.go       VerifyArchive, VerifySegment: a whole archive by its bucket
//	archive_report.go  what that found
//	index.go         VerifyIndex: an index against the archive that it is made from
//	index_report.go  what that found
package custody
