package payload

import (
	"fmt"

	"github.com/fx-risk-ai/annals/schema"
)

// The types of schema, as registries spell them. A type that is not said is
// Avro.
const (
	Avro       = "AVRO"
	Protobuf   = "PROTOBUF"
	JSONSchema = "JSON"
)

// Source is the text of a schema, with those that it refers to, directly or
// not: each stands behind the ones that it needs itself.
type Source struct {
	Type       string
	Text       string
	References []Reference
}

// Reference is another schema by the name it is referred to: a type's full
// name, or a file that is imported.
type Reference struct {
	Name, Text string
}

// Codec decodes payloads of one schema. It is safe for concurrent use.
type Codec interface {
	// JSON gives a payload as JSON text, nil where it is JSON text as it is.
	// indexes are the message indexes of Protobuf's wire format; nil: body begins
	// with them. Errors are of kind Invalid: the bytes are none of the schema's.
	JSON(indexes, body []byte) ([]byte, error)
	// Describe gives the type of schema and the full name, in it, of what a payload
	// is; no name where there is none.
	Describe(indexes, body []byte) (kind, name string)
}

// Compile makes a schema's codec. Errors are of kind Invalid.
func Compile(s Source) (codec Codec, err error) {
	defer sound(&err)
	switch s.Type {
	case Avro, "":
		codec, err = compileAvro(s)
	case Protobuf:
		codec, err = compileProtobuf(s)
	case JSONSchema:
		return asItIs{}, nil
	default:
		return nil, schema.Errorf(schema.Invalid, "read schema: no decoder for type %.40q", s.Type)
	}
	if err != nil {
		return nil, err
	}
	return guarded{codec}, nil
}

// asItIs is the codec of JSON text, whatever its schema demands of it.
type asItIs struct{}

func (asItIs) JSON(_, _ []byte) ([]byte, error) { return nil, nil }

func (asItIs) Describe(_, _ []byte) (kind, name string) { return JSONSchema, "" }

// guarded makes an error of a panic: the bytes come from anybody.
type guarded struct{ Codec }

func (g guarded) JSON(indexes, body []byte) (text []byte, err error) {
	defer sound(&err)
	return g.Codec.JSON(indexes, body)
}

func sound(err *error) {
	if problem := recover(); problem != nil {
		*err = schema.Errorf(schema.Invalid, "the decoder failed: %w", fmt.Errorf("%v", problem))
	}
}
