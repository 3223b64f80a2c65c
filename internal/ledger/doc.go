// Package ledger keeps the chains of commits that are the archive's truth: one
// chain a stream, one object a commit, each created with a conditional write
// and naming the hash of the one before it.
//
// # What it promises
//
// [Ledger.Append] either places its commit at the next seq, or says who holds
// that seq, or says that the outcome is unknown, after which the same call
// with the same commit finds out. A commit is never placed twice and never
// replaces another, with any number of writers, as long as the store's
// conditional writes are atomic. A commit that is in the chain never changes.
//
// [Ledger.Commits] yields a chain only as far as it holds: every commit
// canonical, its seqs without a hole, each hash, branch and base following
// from the commit before. The first that does not is an error of kind
// [schema.Corrupt].
//
// What it cannot see by itself: commits cut off at a chain's end, and a chain
// rewritten as a whole by who holds the bucket. The transparency log is for
// that.
//
// # Cost
//
// Head: two LISTs and one GET; more GETs while the newest commits do not move
// next, a LIST more for every thousand folders. Append: one PUT when nobody
// interferes. Commits, Segments and Verify read every commit, or one rollup
// object for every full thousand.
//
// # Concurrency
//
// A Ledger keeps no state; it is safe for concurrent use and leaves no
// goroutine behind a call. Two owners of one stream are harmless: one of them loses its Append.
//
// # Where to look
//
//	ledger.go    Store, Head, Append's outcome types
//	head.go      finding the newest commit
//	append.go    the commit protocol's one write
//	commits.go   reading and checking a chain
//	rollup.go    a thousand commits' bytes in one object
//	tail.go      where the newest rows are, and their leader epochs
//	deciders.go  which markers behind a commit decided rows below it
//	gaps.go      gap lists beside a commit
//	view.go      what the chain makes current: segments, branches, gaps
//	verify.go    recounting a chain against the objects it names
//	streams.go   every stream that has a chain
//	clusters.go  which topic IDs two clusters have chains of
//
// The normative description of the bytes is docs/formats/commit.md, of the
// keys docs/formats/objects.md.
package ledger
