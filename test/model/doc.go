// Package model is the commit protocol (docs/formats/commit.md, section 6, and
// what surrounds it) as a state machine, and a search through all of its
// states. It holds tests alone, and nothing imports it.
//
// # What it promises
//
// Each configuration (configs_test.go) is searched to its end: every order of
// steps, every crash, every late, lost or repeated request within its budgets.
// A run that hits a bound fails as not exhaustive, and all of them together have a
// bound of states, so that they stay within two minutes: `go test ./test/model -v`
// says how many there are and how long it took. In every state:
//
//   - the chain is whole: bases and nexts join, rows and gaps are the range, no
//     offset is archived twice on a branch, no commit was overwritten;
//   - the object of every commit is there with its bytes, until a purge names it
//     or a rewrite replaced it and all who could not know of that are done;
//   - the current rows are what one leader of Kafka had in its log, with the
//     verdicts of the markers that follow; nothing is undecided; a gap is where
//     the log had begun behind it;
//   - no purge took from a range that was held before it;
//   - a reader finds of each row one object: the replaced or the compacted.
//
// And from every state there is a way, without further faults, to one in which
// everything that has its verdict is archived, or the chain has ended, and no job or
// purge is half done.
//
// That these checks can fail is shown by bugs_test.go: protocols with one rule
// broken (rules_test.go), each of which must be found, for its own reason.
//
// # What is modelled
//
// One partition of up to four offsets; two writers, alike, which may crash or
// lose the partition at any step; Kafka with two replicas, clean and unclean
// elections, each replica with the log it has, retention (a replica that had
// less than was deleted begins where it ends); one transactional
// producer, markers with its epoch and with the epoch after it; a store with
// atomic If-None-Match and segments named by their content; compaction, holds,
// purges, collection and a reader, one process each. A request may arrive at any
// time after it was sent, many times, or never, and a writer may give up waiting
// at any time: so a lost reply, a 409 and a timeout are one case. An attempt's
// UUID is whether it is the writer's current one. Ages are young and old: no
// request, no reader and no run of the collection lives as long as the age
// bound; a process may sleep for longer between any two steps.
//
// # What is not
//
// Genesis; that an end is written of a topic that is gone alone; redaction, which is a compaction with other bytes; several
// producers; the high watermark (all of a leader's log is served); logs without
// leader epochs, where the guard has the bytes of the newest record alone; topic
// IDs and recreated topics; gaps other than by log start; the index, the
// transparency log, rollups; a listing that is behind the store; replaced bytes
// in objects, which hashes find. Two records at one offset in one leader epoch
// are taken to be the same.
//
// # How to read a trace
//
// A violation prints the shortest way to it, one transition a line, then what it
// changed: Kafka's log if it did, [writer place, seq, next, buffer], commits,
// deleted objects. Writers are A and B. In rows "1:Te2?" is offset 1, kind T, leader
// epoch 2: P plain, T transactional, C and A its markers, C+ and A+ those with
// the producer's epoch raised, - a gap; ? is undecided, ! aborted.
//
//	open A  [A opened seq 1 next 0 []]
//	take A  [A tailing seq 1 next 0 [0:Pe1]]
//	arrive A  commit 1: segment 0–1 [0:Pe1] branch 0
//
// # Transitions, and what does them
//
// A test holds this list against the model and the functions against the code.
// The code does one thing more: a job that its compaction has given up is ended
// by the collection (garbage.endClaims); here a compaction always goes on.
//
//	open           archiver/assign.go Archiver.open, internal/ledger/head.go Ledger.Head
//	guard          archiver/guard.go guard.run, archiver/compare.go guard.holds, archiver/leader_epoch.go partition.trusted, archiver/leader_epoch.go guard.approve, archiver/leader_epoch.go Archiver.ledBy, archiver/verdicts.go guard.lostMarker, archiver/verdicts.go markersAhead.deniedBy, archiver/guard.go guard.endsInGap, archiver/guard.go guard.endsBelowNext
//	diverge        archiver/diverge.go guard.diverge, archiver/diverge.go guard.raise, archiver/verdicts.go guard.lower
//	take           archiver/partition.go partition.take, archiver/partition.go partition.gap, archiver/partition.go partition.deleted
//	decide         archiver/partition.go partition.decide
//	cut            archiver/cut.go partition.cut
//	putSegment     archiver/seal.go Archiver.seal
//	putCommit      internal/ledger/append.go attempt.put
//	resolve        internal/ledger/append.go attempt.look
//	settle         archiver/seal.go Archiver.settle
//	release        archiver/partition.go partition.release
//	lost           archiver/assign.go assignments.Lost, archiver/assign.go Archiver.drop
//	discard        archiver/partition.go partition.discard
//	keepBuffer     archiver/seal.go Archiver.append
//	lookAgain      not yet built
//	hold           outside: whoever places a hold; nothing of ours does yet
//	endChain       archiver/end.go gone.end
//	compactPlan    archiver/compact.go Compact.plan, archiver/claim.go placeClaim
//	compactPut     archiver/rewrite.go Archiver.rewrite
//	compactCommit  archiver/rewrite.go Archiver.place
//	compactRetry   archiver/rewrite.go Archiver.stillCurrent, archiver/claim.go changeClaim
//	purgeRead      not yet built
//	purgeCommit    not yet built
//	purgeDelete    not yet built
//	collectRead    archiver/collect.go garbage.list, archiver/collect.go garbage.read
//	collectDelete  archiver/collect.go evidence.verdict, archiver/collect.go garbage.delete
//	collectEnd     archiver/collect.go garbage.collect
//	readView       internal/ledger/view.go Ledger.View
//	readEnd        internal/ledger/view.go View.Current
//	produce        outside: a producer, or the coordinator's marker
//	electOther     outside: the other replica leads, with the log that it has
//	electSame      outside: a leader with the same log, under a new epoch
//	retain         outside: the log start moves
//	arrive         outside: the store takes a request
//	drop           outside: a request is lost
//	repeat         outside: a request arrives, and will once more
//	age            outside: an object passes the age bound
//
// # Files
//
// state_test.go has what a state is; writer_test.go and guard_test.go the
// protocol; kafka_test.go, store_test.go and upkeep_test.go the rest of the
// world; view_test.go what a chain makes current; invariants_test.go what must
// hold; search_test.go and show_test.go the search and its traces. With
// ANNALS_TEST_LONG=1 larger configurations run too.
package model
