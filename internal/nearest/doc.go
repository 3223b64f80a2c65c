// Package nearest finds the name that somebody may have meant who wrote one
// that is not known.
//
// What it promises: a suggestion is one of the candidates, the first of those
// that are nearest, and never farther than a third of the longer name. The
// work for one candidate is bounded by that third, however long a name is.
// What it does not: it knows nothing of what names mean, and hides none; give
// it only candidates that whoever asks may see.
//
// It keeps no state.
package nearest
