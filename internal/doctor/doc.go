// Package doctor says whether the engines that Annals stands on can be relied
// on: the object store, Kafka, the index, and the clocks of all three.
//
// The checks live where their client lives, in objstore, kafka and index, each
// of which has an Examine; this package has what they share: the shape of a
// check, the list of all of them, the judgement of a clock, and the report.
//
// What it promises: a report holds every check of [Catalog], once, in its
// order. A check that could not look, or had nothing to look at, is
// [Indeterminate], never [OK]: silence is not health. What is checked by
// sampling says how much was sampled.
//
// What it does not: it repairs nothing, and it proves nothing. A race that was
// not lost in twenty rounds can be lost in the next one, and whether an
// answered write survives a loss of power cannot be seen from outside.
//
// Where to look:
//
//	check.go    Check, Verdict
//	catalog.go  every check, and what it asks
//	clock.go    how far another clock is off, as far as answers tell
//	report.go   Run, Report, its exit code, its lines
package doctor
