package payload

import (
	"errors"
	"strings"

	"github.com/twmb/avro"

	"github.com/fx-risk-ai/annals/schema"
)

// avroCodec decodes what was written with one Avro schema. The library bounds
// depth, and what counts in the bytes make it allocate.
type avroCodec struct {
	schema *avro.Schema
	name   string
}

func compileAvro(s Source) (Codec, error) {
	cache := new(avro.SchemaCache)
	for _, ref := range s.References {
		if _, err := cache.Parse(ref.Text); err != nil {
			return nil, schema.Errorf(schema.Invalid, "read Avro schema %q: %w", ref.Name, err)
		}
	}
	parsed, err := cache.Parse(s.Text)
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "read Avro schema: %w", err)
	}
	root := parsed.Root()
	name := root.Name
	if root.Namespace != "" && !strings.Contains(name, ".") {
		name = root.Namespace + "." + name
	}
	return avroCodec{parsed, name}, nil
}

func (c avroCodec) Describe(_, _ []byte) (kind, name string) { return Avro, c.name }

func (c avroCodec) JSON(_, body []byte) ([]byte, error) {
	var doc any
	rest, err := c.schema.Decode(body, &doc)
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes are left behind it")
	}
	var text []byte
	if err == nil {
		text, err = c.schema.EncodeJSON(doc)
	}
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "decode Avro: %w", err)
	}
	return text, nil
}
