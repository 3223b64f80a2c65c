// Package spool keeps buffered records on a local disk until they are sealed,
// because ages of minutes over thousands of partitions do not fit in memory. It
// is no store: what is in it is in Kafka too, and nothing of it outlives the
// process.
//
// What it promises: a frame that is read back holds exactly the records that
// were appended, or reading it is an error. Its SHA-256 stays in memory, so a
// bit that flipped, a file that was exchanged and a frame that was cut short are
// all found. All files together stay within the limit, apart from the last
// write that failed. A write that failed changes nothing that was appended
// before.
//
// What it does not: survive. Nothing is synced; what a process left behind is
// deleted by the next one that opens the folder. Records stand in it in the
// clear (zstd), readable by the process' user alone: folder 0700, files 0600.
//
//	spool.go   Spool: the folder, its lock, its limit; File: what goes together
//	frame.go   Frame: how records become bytes and bytes records
//	lock.go    one folder, one process
//
// A [File] takes the frames of one buffer, in order, and is deleted when the
// last of them was let go: so space comes back when a segment is sealed, however
// long other partitions hold on to theirs.
//
// # Concurrency
//
// A Spool and its frames may be used from many goroutines; appends wait for one
// another. A [Reader] belongs to one goroutine at a time. Hold and Drop do not
// touch the disk: files that are not needed any more are deleted by Sweep, and
// before anything is appended.
package spool
