package replay

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
)

// What a room keeps is the caller's memory no more, null is not empty, and records
// that do not fit into a piece do not move the ones before.
func TestRoom(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(1, 2))
	for _, grow := range []bool{false, true} {
		var place room
		for round := range 3 {
			scratch := make([]byte, 70<<10)
			var kept []*schema.Record
			var want []string
			for i := range 300 {
				n := dice.IntN(300)
				if i%100 == 7 {
					n = len(scratch)
				}
				for j := range scratch[:n] {
					scratch[j] = byte(i + j)
				}
				r := schema.Record{Offset: int64(i), Key: scratch[:n/2], Value: scratch[n/2 : n]}
				switch i % 5 {
				case 0:
					r.Key = nil
				case 1:
					r.Value = []byte{}
				case 2:
					r.Headers = []schema.Header{{Name: "a", Value: scratch[:n/3]}, {Name: "b"}, {Name: "c", Value: []byte{}}}
				}
				kept, want = append(kept, place.keep(&r, grow)), append(want, fmt.Sprintf("%#v", r))
			}
			clear(scratch)
			for i := range kept {
				if got := fmt.Sprintf("%#v", *kept[i]); got != want[i] {
					t.Fatalf("grow %v, round %d: record %d is another: %.200s, want %.200s", grow, round, i, got, want[i])
				}
			}
			place.empty()
		}
	}
	var scratch room
	from := schema.Record{Key: []byte("key"), Headers: []schema.Header{{Name: "x", Value: []byte("1")}}}
	referring := scratch.refer(&from, true)
	from.Headers[0].Name = "another"
	if &referring.Key[0] != &from.Key[0] || referring.Headers[0].Name != "x" || &referring.Headers[0].Value[0] != &from.Headers[0].Value[0] {
		t.Error("to refer is to copy the record and its list of headers, and no bytes")
	}
	var place room
	a := place.keep(&schema.Record{Key: []byte("a"), Headers: []schema.Header{{Name: "x"}}}, false)
	_ = place.keep(&schema.Record{Key: []byte("b"), Headers: []schema.Header{{Name: "y"}}}, false)
	a.Key, a.Headers = append(a.Key, 'z'), append(a.Headers, schema.Header{Name: "z"})
	b := place.keep(&schema.Record{Key: []byte("c")}, false)
	if !bytes.Equal(b.Key, []byte("c")) || place.records[1].Headers[0].Name != "y" || string(place.records[1].Key) != "b" {
		t.Error("what is appended to one record stands in another")
	}
}
