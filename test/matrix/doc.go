// Package matrix breaks the archiver's path at every point, in every way that
// the point can break, and holds what is left against what was produced: ledger
// ≡ segments ≡ index ≡ what was acknowledged.
//
// Points are requests: of Kafka, of the object store, of the index; faults are
// what becomes of one. Each case arms one fault for the n-th request of one
// point, asks that it fired, lets the archiver recover, and ends with a full
// verification (package test/verify). Faults come in where they come from in
// life: HTTP ones in a reverse proxy, Kafka's in kfake's fault hooks and on the
// connections, process ones as signals to a process of its own, a loss of power
// in the folder under the store. The run prints point × fault; a cell that no
// case has hit fails it, and a cell that makes no sense says why. The
// spool's disk is a point too: it is full, gives back other bytes, goes, is what a
// killed process leaves and what one that stood still comes back to; and what was
// spooled is cut while the store fails. There is no transparency log yet.
//
// It holds tests alone. One case of every other cell runs by default, all
// variants of all cells with ANNALS_TEST_LONG=1.
package matrix
