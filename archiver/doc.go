// Package archiver tails every topic into the archive: it reads what Kafka
// serves, decides which transactions committed, buffers within one byte
// budget, cuts, seals a segment, commits it to the ledger, and only then tells
// the index, Kafka and the metrics.
//
// What it promises: an offset below the ledger's next is either a row of a
// sealed segment, byte for byte, or in a gap with a class; whoever crashes,
// whoever else believes to own the partition. What it does not promise: that
// the index is complete at every moment; what the index misses is found by
// comparing it with the ledger and read again from S3.
//
// The data's way through the files:
//
//	topics.go     discovery: which topics, under which ID, with which configuration
//	archiver.go   Options, Run, and the loop: poll, take in, feed, cut
//	assign.go     what the group gives and takes; head, genesis, start
//	partition.go  one partition's buffer: gaps, verdicts, bytes
//	cut.go        when a buffer becomes a segment, and the byte budget
//	seal.go       segment, commit, and what follows a commit
//	feed.go       the index: fresh rows first, a segment's row after its commit
//	catchup.go    the index again, from S3: after an outage, or all of it
//	metrics.go    what is measured
//
// An Archiver is made by New and lives in Run; Seal, Health and Topics may be
// called from anywhere while it runs.
package archiver
