package web

import (
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// decodingOf says what a schema makes of a value.
func decodingOf(d *answer.Decoding) *api.Decoding {
	if d == nil {
		return nil
	}
	out := &api.Decoding{
		SchemaId: d.SchemaID, SchemaType: optional(d.Kind), SchemaName: optional(d.Name), Withheld: some(d.Withheld),
		Reason: optional(d.Reason), Detail: d.Detail,
	}
	if d.Document != nil {
		value := bytesOf(d.Document)
		out.Value = &value
	}
	return out
}
