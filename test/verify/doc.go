// Package verify holds an archive against what was produced: the ledger's
// chain, every byte and every row of its segments, the index, and what a
// producer was told is in Kafka must be one and the same.
//
// It shares no path with the archiver: chain and segments are verified as annals
// verify --archive does it, rows are read by the independent Parquet library, the
// index by plain SQL over HTTP. What does not hold comes
// back as an error that names it, so that a test can also ask that a damage is
// found. Only tests import it.
package verify
