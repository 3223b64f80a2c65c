package segment

import (
	"bytes"
	"slices"

	"github.com/fx-risk-ai/annals/schema"
)

// Row is one record and what was extracted from it. X.Identifiers is empty: a
// segment has no column for them, they are extracted again from the bytes.
type Row struct {
	schema.Record
	X schema.Extraction
}

// Clone copies the row and everything it refers to, so that it outlives the
// iteration it came from.
func (r *Row) Clone() *Row {
	c := *r
	c.Key, c.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	c.Headers = slices.Clone(r.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	c.X.Causes = slices.Clone(r.X.Causes)
	c.X.Errors = slices.Clone(r.X.Errors)
	c.X.Identifiers = slices.Clone(r.X.Identifiers)
	return &c
}
