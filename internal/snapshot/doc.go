// Package snapshot archives what a cluster says of its consumer groups and of its
// topics' access rules, as it changes (docs/formats/snapshots.md), and finds what held
// at a time.
//
// # What it promises
//
// After [Recorder.Take] returns nil, what has changed since the last snapshot is in the
// archive. Objects are created and never changed. Several recorders of one cluster are
// harmless: one that finds a snapshot younger than half the interval leaves it at that.
//
// # What it does not
//
// What a group committed between two snapshots, and took back, is not seen. Groups that
// the user may not Describe are counted and not named. It deletes nothing.
//
// # Concurrency
//
// A Recorder belongs to one goroutine. [AsOf] may be called from many.
package snapshot
