package main

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/web/api"
)

// What a schema made of a value stands below its bytes; why nothing was made of
// it, too.
func TestShowsDecodedValues(t *testing.T) {
	kind, name, reason, text := "AVRO", "x.Order\nstatus committed", "schema:unknown", "{\"n\":1}"
	for want, d := range map[string]api.Decoding{
		"schema     7, AVRO x.Order\\nstatus committed\ndecoded    {\"n\":1}\n           withheld of it: /who\n": {
			SchemaId: "7", SchemaType: &kind, SchemaName: &name, Value: &api.Bytes{Format: api.Json, Text: &text}, Withheld: &[]string{"/who"},
		},
		"schema     9, not known\ndecoded    no, schema:unknown: no such schema\n": {SchemaId: "9", Reason: &reason, Detail: "no such schema"},
		"schema     9, not known\ndecoded    no, schema:unknown: a\\nb\n":          {SchemaId: "9", Reason: &reason, Detail: "a\nb"},
		"schema     3, AVRO\ndecoded    the value is JSON as it stands\n":          {SchemaId: "3", SchemaType: &kind, Detail: "the value is JSON as it stands"},
	} {
		var said strings.Builder
		showDecoding(&said, &d)
		if said.String() != want {
			t.Errorf("said %q, want %q", said.String(), want)
		}
	}
}
