// Package corpus is a collection of bad and odd inputs, each with a name and
// with what must hold for it, and the tests that hold it: records as no
// contract has them, headers of every dialect broken in every way, payloads
// that are none, batches that no broker should serve, commits, rollups and
// segments that are not what they say.
//
// The inputs stand in testdata, one file a family, in text that can be read and
// reviewed: see [Parse]. A case is never removed and never renamed; what was
// found in the field or by fuzzing is added with the mend.
package corpus
