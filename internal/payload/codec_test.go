package payload_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/schema"
)

var sources = map[string]payload.Source{
	"avro": {Type: payload.Avro, Text: `{"type":"record","name":"R","fields":[
		{"name":"id","type":"string"},{"name":"n","type":"double"},{"name":"b","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
		{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"d","type":{"type":"int","logicalType":"date"}},
		{"name":"next","type":["null","R",{"type":"array","items":"R"},{"type":"map","values":"R"}]}]}`},
	"protobuf": {Type: payload.Protobuf, Text: `syntax = "proto3"; import "google/protobuf/any.proto"; import "google/protobuf/struct.proto"; import "google/protobuf/timestamp.proto";
		message M { string id = 1; double n = 2; map<string, M> m = 3; repeated M next = 4; google.protobuf.Any any = 5;
			google.protobuf.Struct s = 6; google.protobuf.Timestamp at = 7; enum E { A = 0; } E e = 8; bytes b = 9; oneof o { int64 i = 10; string t = 11; } }`},
	"json": {Type: payload.JSONSchema, Text: `{}`},
}

// FuzzCodec holds decoders to their promise: JSON text or an error of kind
// Invalid, whatever the bytes.
func FuzzCodec(f *testing.F) {
	codecs := map[string]payload.Codec{}
	for name, source := range sources {
		codec, err := payload.Compile(source)
		if err != nil {
			f.Fatal(err)
		}
		codecs[name] = codec
	}
	f.Add([]byte("\x02a\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00"), true)
	f.Add([]byte("\x00\x0a\x01a\x22\x03\x0a\x01b"), false)
	f.Add([]byte("\x02\x00\x2a\x02\x0a\x00"), false)
	f.Add([]byte(strings.Repeat("\x22\x7f", 64)), true)
	f.Fuzz(func(t *testing.T, body []byte, inBody bool) {
		indexes := []byte{0}
		if inBody {
			indexes = nil
		}
		for name, codec := range codecs {
			text, err := codec.JSON(indexes, body)
			switch {
			case err != nil && schema.KindOf(err) != schema.Invalid:
				t.Fatalf("%s: %v", name, err)
			case err == nil && text != nil && !json.Valid(text):
				t.Fatalf("%s: no JSON: %q", name, text)
			}
		}
	})
}

func TestSchemasThatAreNone(t *testing.T) {
	deep := strings.Repeat(`{"type":"array","items":`, 20_000) + `"int"` + strings.Repeat("}", 20_000)
	for name, s := range map[string]payload.Source{
		"no text":            {},
		"another type":       {Type: "XML", Text: "<a/>"},
		"avro, a missing":    {Text: `{"type":"record","name":"R","fields":[{"name":"a","type":"x.Missing"}]}`},
		"avro, deep":         {Text: deep},
		"avro, itself only":  {Text: `{"type":"record","name":"R","fields":[{"name":"a","type":"R"}]}` + "x"},
		"protobuf, no text":  {Type: payload.Protobuf, Text: "hello"},
		"protobuf, missing":  {Type: payload.Protobuf, Text: `syntax = "proto3"; import "a.proto";`},
		"protobuf, a circle": {Type: payload.Protobuf, Text: `syntax = "proto3"; import "a.proto";`, References: []payload.Reference{{Name: "a.proto", Text: `syntax = "proto3"; import "a.proto";`}}},
		"protobuf, deep":     {Type: payload.Protobuf, Text: `syntax = "proto3"; ` + strings.Repeat("message M {", 5_000) + strings.Repeat("}", 5_000)},
		"reference, no avro": {Text: `"int"`, References: []payload.Reference{{Name: "a", Text: "{"}}},
	} {
		if _, err := payload.Compile(s); schema.KindOf(err) != schema.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
