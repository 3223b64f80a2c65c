// Package archiver tails every topic into the archive: it reads what Kafka
// serves, decides which transactions committed, buffers within one byte
// budget, cuts, seals a segment, commits it to the ledger, and only then tells
// the index, Kafka and the metrics.
//
// What it promises: an offset below the ledger's next is either a row of a
// sealed segment, byte for byte, or in a gap with a class; whoever crashes,
// whoever else believes to own the partition. What it does not promise: that
// the index is complete at every moment; what the index misses is found by
// comparing it with the ledger and read again from S3, when a partition is
// opened, and of topics that are gone too.
//
// The data's way through the files:
//
//	options.go       what an archiver is told
//	archiver.go      New, Run, and the loop: poll, take in, feed, cut
//	preflight.go     what a store must pass before anything is archived in it
//
//	topics.go        discovery: which topics, under which ID
//	hidden.go        topics that the brokers do not list, and why
//	topic_config.go  the topics' configurations, and what they explain
//	topic_life.go    what became of topics, in the archive
//	assign.go        what the group gives and takes; head, genesis, start
//	member.go        whether the process is a member of its group
//	reopen.go        what was given up is opened again
//	depart.go        what was read of topics that are gone is sealed
//
//	unnamed.go       records that came without their topic's ID
//	guard.go         is the archive a prefix of the log? when that is asked
//	began.go         … where no record is archived yet
//	compare.go       one archived record against Kafka's answers
//	history.go       archived rows and pages of the log, compared
//	leader_epoch.go  by whose word a record came: leader epochs (KIP-101)
//	verdicts.go      whether the markers that decided rows are still in the log
//	diverge.go       the branch point, and the commit that begins a branch
//
//	partition.go     one partition's buffer: gaps, verdicts, bytes
//	rows.go          a buffer's records in memory
//	bounds.go        when Kafka's log does not hold what is wanted, or fills the budget
//	silence.go       when the log goes on and nothing comes
//	skim.go          a transaction larger than the budget: the markers first
//	undecoded.go     records whose schema could not be had when they were read
//	unreadable.go    batches that cannot be decoded, and records that are too large
//	deadletters.go   what could not be processed, written with its context
//	spool.go         when a buffer goes to the spool, and what becomes of its disk's faults
//	frames.go        one partition's rows that are in the spool
//
//	cut.go           when a buffer becomes a segment, and the byte budgets
//	seal.go          Seal; segment, commit, and what follows a commit
//	wait.go          CatchUp and Indexed: what others wait for
//	feed.go          the index: fresh rows first, then that their segment is committed
//	gather.go        the rows of commits, many in one insert
//	parsed.go        what the rules read for the index, kept for the segment
//	catchup.go       the index again, from S3: after an outage
//	passage.go       under which version each commit is read, and what goes after it
//	gone.go          the same for topics that nobody opens any more
//	end.go           the end of their chains
//	reindex.go       the whole index again, from S3
//
//	upkeep.go        settings, pace and order of what follows
//	compact.go       which segments of a closed day are joined
//	rewrite.go       join some: read, check, write, commit
//	claim.go         the job that names what a compaction will put
//	collect.go       objects that nothing needs any more
//	collect_all.go   those of a whole bucket, without an archiver
//	backlog.go       what is left to do
//
//	alive.go         whether the loop moves
//	health.go        what stands in the way now
//	metrics.go       what is measured of the process
//	series.go        what is measured of each partition, within a bound
//	lag.go           how far behind a partition is, in time and beside Kafka's retention
//	violations.go    broken rules of contracts, as they are counted
//
// # Concurrency
//
// One goroutine, tail, polls and is the only one that moves fetch positions.
// Archiver.mu guards the partitions and everything in them; changed, on it, is
// broadcast whenever a head, a verdict or a partition changes. Guards run in
// goroutines of their own on what they were given; what they find out is
// applied under mu by guarded, while their partition is not read or cut. The group's
// callbacks run while tail waits in a poll or after Allow, never in between.
// Sealers own a job: its rows are not changed any more, and what they find out
// is applied under mu by settle, if the partition is still ours. The feed and
// the catch-up have a mutex each, taken after Archiver.mu, never before it;
// topics.mu is never held together with it. Nothing waits for a store, a
// broker, the index or the spool's disk while it holds a mutex. One goroutine,
// spiller, writes to the spool; whoever needs what is there holds its frames.
//
// An Archiver is made by New and lives in Run; Seal, CatchUp, Indexed, Health
// and Topics may be called from anywhere while it runs.
package archiver
