// Package deadletter keeps what could not be processed as objects in the
// archive: one a failure, with its whole context (docs/formats/dead-letters.md).
//
// # What it promises
//
// [Put] is idempotent: the same failure has the same key, and what is there is
// only added to, with a conditional write: the first time stays, the attempts
// are summed. After nil the letter is durable.
//
// # What it does not
//
// It deletes nothing, and repeats nothing: after Unavailable, Exhausted or
// Permission the caller sends the same letter again, which may count its
// attempts twice.
//
// # Concurrency
//
// All functions may be called from many goroutines and processes.
package deadletter
