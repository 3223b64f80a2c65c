// Package upgrade reads what earlier versions of Annals wrote: archives, index
// tables and data folders that are checked in, each made by the version that its
// name says, and never made anew. A version reads every format that the one before
// it wrote; see docs/formats/versions.md, and README.md here for how they are
// made.
package upgrade
