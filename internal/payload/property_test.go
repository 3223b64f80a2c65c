package payload_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/fx-risk-ai/annals/internal/payload"
	"pgregory.net/rapid"
)

var (
	names = rapid.SampledFrom([]string{"a", "b", "c", "", "/", "~1", "a/b", "é", "\"", "eventId", "meta", "id", "0", "10"})
	texts = rapid.OneOf(
		rapid.SampledFrom([]string{"", "EUR", "a telling text", "another telling text", "<&>\u2028\n\"\\"}),
		rapid.String(),
	)
	numbers = rapid.OneOf(
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,12})?`),
		rapid.SampledFrom([]string{"1", "1.0", "1.00", "10e-1", "0", "-0", "0.000e7", "123456.5"}),
	)
)

// document draws a JSON document as Decode would give it.
func document(t *rapid.T, depth int) any {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return texts.Draw(t, "text")
	case 3:
		return json.Number(numbers.Draw(t, "number"))
	case 4:
		list := make([]any, rapid.IntRange(0, 4).Draw(t, "length"))
		for i := range list {
			list[i] = document(t, depth-1)
		}
		return list
	}
	object := make(map[string]any)
	for range rapid.IntRange(0, 5).Draw(t, "members") {
		object[names.Draw(t, "name")] = document(t, depth-1)
	}
	return object
}

// mutated draws a child that shares most of its parent, some of it elsewhere.
func mutated(t *rapid.T, parent any) any {
	if rapid.IntRange(0, 9).Draw(t, "fresh") == 0 {
		return document(t, 2)
	}
	switch parent := parent.(type) {
	case []any:
		list := []any{}
		for _, element := range parent {
			if rapid.IntRange(0, 5).Draw(t, "drop") > 0 {
				list = append(list, mutated(t, element))
			}
		}
		return list
	case map[string]any:
		object := make(map[string]any)
		for name, value := range parent {
			switch rapid.IntRange(0, 7).Draw(t, "fate") {
			case 0:
			case 1, 2:
				object[names.Draw(t, "renamed")] = value
			case 3:
				object[name] = mutated(t, value)
			default:
				object[name] = value
			}
		}
		return object
	}
	return parent
}

// encode is the standard library's, so that the text under test is not ours.
func encode(t *rapid.T, doc any) []byte {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetIndent("", rapid.SampledFrom([]string{"", " "}).Draw(t, "indent"))
	if err := encoder.Encode(doc); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func decode(t *rapid.T, text []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var doc any
	if err := decoder.Decode(&doc); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return doc
}

// The law of a diff: applied to the parent it gives the child, exactly; and it
// is empty if and only if there is nothing to tell. What it says travels as
// JSON, as the API sends it.
func TestApplyOfDiffIsTheChild(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parentDoc := document(t, 4)
		parent, child := encode(t, parentDoc), []byte(nil)
		if rapid.Bool().Draw(t, "related") {
			child = encode(t, mutated(t, parentDoc))
		} else {
			child = encode(t, document(t, 4))
		}
		sent, err := payload.Diff(parent, child)
		if err != nil || !sent.Comparable {
			t.Fatalf("%+v %v", sent, err)
		}
		text, err := json.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		var comparison payload.Comparison
		if err := json.Unmarshal(text, &comparison); err != nil {
			t.Fatal(err)
		}
		applied, err := apply(parent, comparison)
		if err != nil {
			t.Fatalf("%v\nchanges\n%s", err, listing(comparison.Changes))
		}
		got, want := decode(t, applied), decode(t, child)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %s want %s\nchanges\n%s", applied, child, listing(comparison.Changes))
		}
		if same := reflect.DeepEqual(decode(t, parent), want); same != (len(comparison.Changes) == 0) {
			t.Fatalf("same document: %v, but changes\n%s", same, listing(comparison.Changes))
		}
	})
}

// A child that keeps everything and adds is an enrichment, whatever it is.
func TestAddingIsEnriching(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parent := map[string]any{"kept": document(t, 3)}
		child := map[string]any{"kept": parent["kept"], "added": document(t, 2), "eventId": document(t, 1)}
		stage, reason := payload.Classify([][]byte{encode(t, parent)}, encode(t, child))
		if stage.String() != "enrichment" {
			t.Fatalf("%s: %s", stage, reason)
		}
		child["kept"] = []any{parent["kept"]}
		if _, isList := parent["kept"].([]any); isList {
			child["kept"] = "gone"
		}
		if stage, reason := payload.Classify([][]byte{encode(t, parent)}, encode(t, child)); stage.String() != "transformation" {
			t.Fatalf("%s: %s", stage, reason)
		}
	})
}

func FuzzDiff(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.0],"b":"c-12345678"}`), []byte(`{"a":[1,2],"c":"c-12345678"}`))
	f.Add([]byte("\x00\x00\x00\x00\x01{}"), []byte(`"\ud83d\ude00"`))
	f.Add([]byte(`{"a":1,"a":2,"meta":{"id":1}}`), []byte(`{"specversion":"1","id":2}`))
	f.Fuzz(func(t *testing.T, parent, child []byte) {
		comparison, err := payload.Diff(parent, child)
		if err != nil {
			t.Fatal(err)
		}
		payload.Classify([][]byte{parent}, child)
		if !comparison.Comparable {
			return
		}
		applied, err := apply(parent, comparison)
		if err != nil {
			t.Fatal(err)
		}
		doc, _, _ := payload.Decode(child)
		if string(applied) != string(payload.Canonical(doc)) {
			t.Fatalf("got %s want %s", applied, payload.Canonical(doc))
		}
	})
}

func BenchmarkDiff(b *testing.B) {
	parent := []byte(`{"eventId":"0af7651916cd43dd8448eb211c80319c","eventType":"FxRateReceived","eventVersion":"2","sourceService":"ecb-gateway",` +
		`"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","timestamp":"2024-03-01T14:15:00Z","base":"EUR","currency":"USD","rate":"1.0813","day":"2024-03-01"}`)
	child := []byte(`{"eventId":"b7ad6b7169203331b7ad6b7169203331","eventType":"FxRateEnriched","eventVersion":"2","sourceService":"rate-enricher",` +
		`"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","timestamp":"2024-03-01T14:15:00.001Z","base":"EUR","currency":"USD","rate":"1.0813","day":"2024-03-01",` +
		`"currencyName":"US dollar","region":"Americas","previousRate":"1.0830","changePercent":-0.157}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := payload.Diff(parent, child); err != nil {
			b.Fatal(err)
		}
	}
}
