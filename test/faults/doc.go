// Package faults kills Annals at every durable step and holds what is left
// against what was produced: nothing lost, nothing twice, in the ledger, the
// segments, the index and a replay's target.
//
// The engines run in the test's process and the part under test in a child,
// which sends itself SIGKILL right before or right after the n-th occurrence of
// a step. Nothing in the product knows of that: the child wraps the interfaces
// that package archiver and package replay declare.
package faults
