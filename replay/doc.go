// Package replay produces archived history again, into new topics: plan, run,
// receipt.
//
// # What it promises
//
// A plan names exact segments, by hash, with the counts and bytes of what is
// selected in each. Its ID is the SHA-256 of its canonical bytes: the same
// selection at the same state of the ledger is the same plan, and its job is
// the same job. Only committed rows that are in the ledger are replayed.
//
// Exactly once: a job's records are produced in transactions (KIP-98), and how
// far it is stands in a record of the same transaction, in a compacted topic.
// A worker begins by fencing every earlier one, then reads that record: a
// crash at any moment, two workers at once, or the same plan submitted twice,
// deliver each record once. The state object in the bucket, which says who
// works and how far, is for people and for finding work; it is never what a
// worker continues from.
//
// Identical: key, value, headers (order, duplicates, nulls), timestamp and
// partition are those of the source, in its order. Provenance headers are
// added when asked for, at the end. Where other partitions or timestamps are asked
// for, everything else is the source's, and what stands in one partition of the
// source and goes to one of the target keeps its order.
//
// Sound: no record is produced whose bytes were not held against the ledger, by
// the hash of its segment, or by its own where a small part of one is selected.
//
// Before the first record is produced everything planned is looked for, in the
// ledger and in the store; records that a target does not take are counted and
// named; and rights that a broker tells of are checked.
//
// By consent: where the settings ask for it, nothing is begun before somebody else
// than who asked for it approved the plan of that very ID. While all replays are
// stopped nobody begins any, and those under way are let go of.
//
// At the end the source is read again from the segments and the target from
// Kafka, and both are compared record by record; the receipt has counts and
// hashes of each partition.
//
// # What it does not
//
// As fast as possible, it does not keep the order between partitions, nor the
// pace of the original: a pace does, by one clock over all of them, the running
// maximum of each partition's times. It selects by what was extracted when a
// record was sealed, not by today's rules, and says so where they differ. A filter
// is asked once, for the plan, which has the offsets that it chose. It does not
// know who anybody is: names are what callers give it. It cannot keep the
// timestamp type: a target's is CreateTime. It does not stop others from writing
// into the target: the receipt says whether they did.
//
// # Concurrency
//
// A [Service] is safe for concurrent use. New starts nothing; [Service.Work]
// owns the workers until its context ends. Every process may work on the same
// bucket: a lease, renewed by conditional writes, keeps two of them apart for
// economy; correctness rests on the fencing alone (test/takeover has it as a model).
//
// # Where to look
//
// Package schema/answer has the shapes of requests, plans, jobs and receipts.
//
//	service.go    options, the interfaces it needs, New
//	request.go    what a request may say
//	typed.go      a search as it is typed, as a selection
//	selection.go  which records of the topics it asks for
//	plan.go       Plan: selection, targets and warnings; the plan object
//	resolve.go    a selection, held against the ledger
//	again.go      copies that former replays made, which a trace has too
//	unsealed.go   what of it is not in the ledger yet: cut, refused, waited for
//	omission.go   what looks selected and is not replayed
//	count.go      what is selected of one segment
//	sieve.go      what a filter chooses of it
//	oversize.go   records that are larger than their target takes
//	document.go   the plan's canonical bytes and ID
//	destination.go in which cluster the targets are
//	target.go     names, checks, configuration and creation of target topics
//	rights.go     what the server may do with them, and what to grant
//	prefix.go     the first digits of an ID for the whole
//	estimate.go   how long a plan may take, by jobs that were done
//	named.go      the schemas that its records name
//	state.go      the job's state object and its conditional writes
//	control.go    cancel, pause, resume, another pace
//	approval.go   what a second person says of a plan
//	step.go       some records more of a paused job
//	metrics.go    what this process did, as it is counted
//	limits.go     what one user's jobs may take
//	stop.go       the switch that stops all jobs
//	jobs.go       Run, Get and List: jobs as they are asked for
//	work.go       finding, claiming and keeping jobs
//	file.go       a replay into files: their parts, written
//	fileback.go   and read back
//	fileout.go    and handed out
//	sources.go    what is planned, held against the ledger before anything is produced
//	attempt.go    one worker's go at a job: steps from planned to done
//	progress.go   how far each lane is
//	position.go   where a job stands, in the position topic
//	eta.go        how long a job will still take
//	pace.go       when records are due, and how late they were
//	merge.go      all lanes by one clock, a window of each at a time
//	room.go       copies of records, many to an allocation
//	deliver.go    segments to transactions
//	rows.go       the planned rows of a stream, in order
//	redrive.go    dead letters, back to the topics that they come from
//	offsetmap.go  where each record went, both ways
//	dryrun.go     everything but producing
//	translate.go  the offsets of a consumer group, from source to target
//	reconcile.go  the comparison and its receipt
//	spread.go     partitions that are not the source's, and timestamps
//	strand.go     the comparison where partitions are chosen
//	receipt.go    the receipt as a page
//	watch.go      a job's progress as it happens
package replay
