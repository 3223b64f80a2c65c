// Package retry spaces out attempts at what may pass.
//
// # What it promises
//
// [Pauses] grow: each is double the one before, up to a bound, and the upper
// half of each is drawn at random, so that many who failed together do not come
// back together.
//
// # What it does not
//
// It decides nothing: whether an error passes, how often is enough and what is
// said of it differ wherever attempts are made, and stand there.
//
// # Concurrency
//
// Pauses belong to one goroutine. [Sleep] may be called from many.
package retry
