package kafka

import (
	"testing"

	"github.com/fx-risk-ai/annals/schema"
)

// TestPiecesAreUsedAgain makes the client's records of transactions of one size: after
// some nothing is allocated, and nothing of the last one is left in them.
func TestPiecesAreUsedAgain(t *testing.T) {
	var p pieces
	full := schema.Record{Key: []byte("k"), Value: []byte("v"), Timestamp: 1, Headers: make([]schema.Header, 4)}
	full.Headers[3] = schema.Header{Name: "n", Value: []byte("h")}
	transaction := func() {
		for range 10_000 {
			r := p.wire("topic", 1, &full)
			if len(r.Headers) != 4 || cap(r.Headers) != 4 || r.Headers[3].Key != "n" || r.Headers[0].Value != nil {
				t.Fatalf("%+v", r)
			}
		}
		p.empty()
	}
	for range 10 {
		transaction()
		for _, piece := range p.records.full[:cap(p.records.full)] {
			if piece != nil {
				t.Fatalf("a piece of %d records is held that is neither in use nor spare", cap(piece))
			}
		}
	}
	if n := testing.AllocsPerRun(20, transaction); n > 0 {
		t.Errorf("%.0f allocations a transaction", n)
	}
	if r := p.wire("topic", 2, &schema.Record{}); r.Key != nil || r.Value != nil || r.Headers != nil || r.Partition != 2 || r.Context != nil {
		t.Errorf("%+v holds what the last one did", r)
	}
	many := schema.Record{Headers: make([]schema.Header, 3*mostPiece)} // more than a piece of records has
	if r := p.wire("topic", 1, &many); len(r.Headers) != len(many.Headers) {
		t.Errorf("%d headers", len(r.Headers))
	}
	p.empty()
	transaction()
}
