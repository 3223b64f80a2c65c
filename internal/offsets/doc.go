// Package offsets adds up what a chain says of a partition's offsets: rows by
// status, gaps by class, what purges took away, and what is left over. It is the
// one rule, for coverage and for the statement in an export.
//
// What it promises: a sum is of one view, which does not change, and its parts do
// not overlap; what is left over is told and never taken for something else. What
// it does not: that the rows are what their commits count, but where a later branch
// cuts a segment; a verification reads them.
//
// What a view does not hold comes from a Source. Nothing is kept, and concurrent
// calls know nothing of one another.
package offsets
