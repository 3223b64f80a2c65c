package payload_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/schema"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct{ value, format, canonical string }{
		{`{"b":1.00,"a":[null,true,"x"]}`, payload.JSON, `{"a":[null,true,"x"],"b":1.00}`},
		{` 123456789012345678901234567890.10E-5 `, payload.JSON, `123456789012345678901234567890.10E-5`},
		{"\x00\x00\x00\x00\x07" + `{"a":1}`, payload.JSON, `{"a":1}`},
		{`"\ud83d\ude00\u0001<é>"`, payload.JSON, `"😀\u0001<é>"`},
		{`{"a":1,"a":2}`, payload.JSON, `{"a":2}`},
		{`"\ud83d"`, payload.Opaque, ""},
		{`"\ude00"`, payload.Opaque, ""},
		{`"\\ud83d"`, payload.JSON, `"\\ud83d"`},
		{"\"\xff\"", payload.Opaque, ""},
		{`{"a":`, payload.Opaque, ""},
		{`{} {}`, payload.Opaque, ""},
		{"plain text", payload.Opaque, ""},
		{"\x00\x00\x00\x00\x07\x02ab", payload.Opaque, ""},
		{"", payload.Opaque, ""},
	} {
		doc, format, err := payload.Decode([]byte(c.value))
		if err != nil || format != c.format || format == payload.JSON && string(payload.Canonical(doc)) != c.canonical {
			t.Errorf("%q: %s %s %v", c.value, format, payload.Canonical(doc), err)
		}
	}
	if _, format, err := payload.Decode(nil); format != payload.Null || err != nil {
		t.Errorf("null: %s %v", format, err)
	}
	if _, _, err := payload.Decode([]byte(`"` + strings.Repeat("x", payload.MaxBytes) + `"`)); schema.KindOf(err) != schema.Exhausted {
		t.Errorf("too large: %v", err)
	}
}

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		name, parent, child string
		want                string // one change a line: op path from to
		equal               bool
	}{
		{"nothing but order and white space", `{"a":1,"b":[1,2]}`, ` {"b":[1, 2], "a":1}`, "", true},
		{"an enrichment", `{"rate":1.1}`, `{"rate":1.1,"name":"US dollar","prev":1.0}`, "add /name  \"US dollar\"\nadd /prev  1.0", false},
		{"null is not absent", `{"a":null}`, `{}`, "remove /a null ", false},
		{"another kind", `{"a":"1"}`, `{"a":1}`, `change /a "1" 1`, false},
		{"a number spelt otherwise", `{"a":1.0,"b":100,"c":-0.0}`, `{"a":1.00,"b":1e2,"c":0}`, "change /a 1.0 1.00 same\nchange /b 100 1e2 same\nchange /c -0.0 0 same", true},
		{"numbers that float64 cannot tell apart", `[9007199254740993]`, `[9007199254740992]`, "change /0 9007199254740993 9007199254740992", false},
		{"numbers beyond every exponent", `[1e9999999999999999999]`, `[10e9999999999999999998]`, "change /0 1e9999999999999999999 10e9999999999999999998", false},
		{"a shorter array", `[1,2,3]`, `[1]`, "remove /2 3 \nremove /1 2 ", false},
		{"a longer array", `[1]`, `[0,2,3]`, "change /0 1 0\nadd /1  2\nadd /2  3", false},
		{"names that pointers escape", `{"a/b":{"~":1}}`, `{"a/b":{"~":2,"":3}}`, "add /a~1b/  3\nchange /a~1b/~0 1 2", false},
		{"the whole document", `{"a":1}`, `[1]`, `change  {"a":1} [1]`, false},
		{"a move", `{"customer":"c-12345678","x":1}`, `{"order":{"n":1},"buyer":{"id":"c-12345678"},"x":1}`, `add /buyer  {"id":"c-12345678"}` + "\n" + `remove /customer "c-12345678" ` + "\n" + `add /order  {"n":1}`, false},
		{"a renamed member", `{"customer":"c-12345678","x":1}`, `{"buyer":"c-12345678","x":1}`, `move /buyer "c-12345678" "c-12345678" from /customer`, false},
		{"a member moved into an object that stays", `{"o":{"k":1},"rates":[1,2]}`, `{"o":{"k":1,"rates":[1,2]}}`, `move /o/rates [1,2] [1,2] from /rates`, false},
		{"too short to be sure", `{"a":"EUR"}`, `{"b":"EUR"}`, "remove /a \"EUR\" \nadd /b  \"EUR\"", false},
		{"there twice: which moved is a guess", `{"a":"c-12345678","k":"c-12345678"}`, `{"b":"c-12345678","k":"c-12345678"}`, "remove /a \"c-12345678\" \nadd /b  \"c-12345678\"", false},
		{"one removed, two added", `{"a":"c-12345678"}`, `{"b":"c-12345678","c":"c-12345678"}`, "remove /a \"c-12345678\" \nadd /b  \"c-12345678\"\nadd /c  \"c-12345678\"", false},
		{
			"contract fields are marked", `{"eventId":"e1","a":1,"meta":{"id":"e1","note":1}}`, `{"eventId":"e2","a":2,"meta":{"id":"e2","note":2}}`,
			"change /a 1 2\nchange /eventId \"e1\" \"e2\" envelope\nchange /meta/id \"e1\" \"e2\" envelope\nchange /meta/note 1 2", false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			comparison, err := payload.Diff([]byte(c.parent), []byte(c.child))
			if err != nil || !comparison.Comparable || comparison.Truncated {
				t.Fatalf("%+v %v", comparison, err)
			}
			if got := listing(comparison.Changes); got != c.want || comparison.Equal != c.equal {
				t.Errorf("equal %v, got\n%s\nwant\n%s", comparison.Equal, got, c.want)
			}
			applied, err := apply([]byte(c.parent), comparison)
			if err != nil {
				t.Fatal(err)
			}
			if child, _, _ := payload.Decode([]byte(c.child)); string(applied) != string(payload.Canonical(child)) {
				t.Errorf("applied: %s", applied)
			}
		})
	}
}

func listing(changes []payload.Change) string {
	lines := make([]string, len(changes))
	for i, c := range changes {
		lines[i] = fmt.Sprintf("%s %s %s %s", c.Op, c.Path, c.From, c.To)
		if c.MovedFrom != "" {
			lines[i] += " from " + c.MovedFrom
		}
		if c.SameValue {
			lines[i] += " same"
		}
		if c.Envelope {
			lines[i] += " envelope"
		}
	}
	return strings.Join(lines, "\n")
}

func TestDiffOfBytes(t *testing.T) {
	for _, c := range []struct {
		parent, child []byte
		equal         bool
		note          string
	}{
		{[]byte("abc"), []byte("abc"), true, "the parent's payload is opaque, the child's opaque"},
		{[]byte("abc"), []byte("abd"), false, "opaque"},
		{nil, nil, true, "null"},
		{nil, []byte{}, false, "the parent's payload is null, the child's opaque"},
		{[]byte(`{}`), nil, false, "the parent's payload is json, the child's null"},
	} {
		comparison, err := payload.Diff(c.parent, c.child)
		if err != nil || comparison.Comparable || comparison.Equal != c.equal || !strings.Contains(comparison.Note, c.note) {
			t.Errorf("%q %q: %+v %v", c.parent, c.child, comparison, err)
		}
		applied, err := apply(c.parent, comparison)
		if c.equal && (err != nil || string(applied) != string(c.child)) || !c.equal && schema.KindOf(err) != schema.Invalid {
			t.Errorf("%q %q: applied %q %v", c.parent, c.child, applied, err)
		}
	}
	tooLarge := []byte(`"` + strings.Repeat("x", payload.MaxBytes) + `"`)
	if _, err := payload.Diff([]byte("{}"), tooLarge); schema.KindOf(err) != schema.Exhausted {
		t.Errorf("too large: %v", err)
	}
}

func TestDiffIsBounded(t *testing.T) {
	elements := func(n int, element string) []byte {
		return []byte("[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]")
	}
	parent := elements(payload.MaxChanges+1, "1")
	for name, c := range map[string]struct {
		child     []byte
		truncated bool
	}{
		"just too many":       {elements(payload.MaxChanges+1, "2"), true},
		"as many as listed":   {append(elements(payload.MaxChanges, "2")[:2*payload.MaxChanges], ",1]"...), false},
		"all the same value":  {elements(payload.MaxChanges+1, "1.0"), true},
		"removed at the end":  {[]byte("[]"), true},
		"one kept, many gone": {[]byte("[1]"), false},
	} {
		comparison, err := payload.Diff(parent, c.child)
		if err != nil || comparison.Equal || comparison.Truncated != c.truncated || len(comparison.Changes) != payload.MaxChanges {
			t.Errorf("%s: equal %v truncated %v, %d changes, %v", name, comparison.Equal, comparison.Truncated, len(comparison.Changes), err)
		}
		if (comparison.Note != "") != c.truncated {
			t.Errorf("%s: note %q", name, comparison.Note)
		}
		if _, err := apply(parent, comparison); (schema.KindOf(err) == schema.Invalid) != c.truncated {
			t.Errorf("%s: apply: %v", name, err)
		}
	}

	deep := func(leaf string) []byte {
		return []byte(strings.Repeat(`{"a":`, 1000) + leaf + strings.Repeat(`}`, 1000))
	}
	comparison, err := payload.Diff(deep("1"), deep("2"))
	if err != nil || len(comparison.Changes) != 1 || comparison.Changes[0].Path != strings.Repeat("/a", payload.MaxDepth) {
		t.Errorf("deep: %d changes, %v", len(comparison.Changes), err)
	}
	if applied, err := apply(deep("1"), comparison); err != nil || string(applied) != string(deep("2")) {
		t.Errorf("deep: apply: %v", err)
	}
}

func TestApplyRefusesAnotherParent(t *testing.T) {
	comparison, err := payload.Diff([]byte(`{"a":1,"b":{"c":[1,2]},"name":"renamed-it","z":0}`), []byte(`{"a":2,"b":{"c":[1]},"title":"renamed-it","z":0,"n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, parent := range []string{
		`{"a":3,"b":{"c":[1,2]},"name":"renamed-it"}`,
		`{"a":1,"b":{"c":[1,2,3]},"name":"renamed-it"}`,
		`{"a":1,"b":{"c":[1,3]},"name":"renamed-it"}`,
		`{"a":1,"b":[],"name":"renamed-it"}`,
		`{"a":1,"b":{"c":[1,2]},"name":"other-name"}`,
		`{"a":1,"b":{"c":[1,2]},"name":"renamed-it","n":0}`,
		`{}`, `[]`, `1`, `not json`,
	} {
		if applied, err := apply([]byte(parent), comparison); schema.KindOf(err) != schema.Conflict {
			t.Errorf("%s: %s %v", parent, applied, err)
		}
	}
	for _, change := range []payload.Change{
		{Op: "copy", Path: "/a"},
		{Op: payload.Add, Path: "a", To: json.RawMessage("1")},
		{Op: payload.Add, Path: "/n", To: json.RawMessage("{")},
		{Op: payload.Replace, Path: "/a", From: json.RawMessage("1")},
	} {
		forged := payload.Comparison{Comparable: true, Changes: []payload.Change{change}}
		if applied, err := apply([]byte(`{"a":1}`), forged); schema.KindOf(err) != schema.Invalid {
			t.Errorf("%+v: %s %v", change, applied, err)
		}
	}
}

func TestClassify(t *testing.T) {
	const received = `{"eventId":"e1","eventType":"Received","traceId":"t","timestamp":1,"currency":"USD","rate":1.10,"tags":[],"meta":{"id":"e1","note":"n"}}`
	for _, c := range []struct {
		name    string
		parents []string
		child   string
		stage   schema.Stage
		reason  string
	}{
		{"no parent", nil, received, schema.StageIngestion, "no parent"},
		{"a copy", []string{received}, received, schema.StageDelivery, "the payload is the parent's, byte for byte"},
		{
			"only the envelope is new",
			[]string{received},
			`{"eventId":"e2","eventType":"Sent","timestamp":2,"currency":"USD","rate":1.1,"tags":[],"meta":{"id":"e2","note":"n"}}`,
			schema.StageDelivery, "all 4 fields of the parent kept, none added",
		},
		{
			"fields added",
			[]string{received},
			`{"eventId":"e2","currency":"USD","rate":1.1,"tags":[],"meta":{"note":"n"},"name":"US dollar","prev":{"rate":1.0,"day":"d"}}`,
			schema.StageEnrichment, "all 4 fields of the parent kept, 3 added (/name, /prev/day, /prev/rate)",
		},
		{
			"a field changed",
			[]string{received},
			`{"currency":"USD","rate":1.2,"tags":[],"meta":{"note":"n"},"name":"x"}`,
			schema.StageTransformation, "of the parent: 3 fields kept, 1 changed (/rate), 1 added (/name)",
		},
		{
			"fields dropped",
			[]string{received},
			`{"volatility":0.4}`,
			schema.StageTransformation, "of the parent: 0 fields kept, 4 dropped (/currency, /meta/note, /rate, …), 1 added (/volatility)",
		},
		{
			"a join that keeps everything",
			[]string{`{"order":1}`, `{"customer":2}`},
			`{"order":1,"customer":2}`,
			schema.StageEnrichment, "all 2 fields of 2 parents kept, 1 added (/customer)",
		},
		{
			"an aggregate",
			[]string{`{"rate":1}`, `{"rate":2}`},
			`{"rate":2,"mean":1.5}`,
			schema.StageTransformation, "of 2 parents: 1 fields kept, 1 changed (/rate), 1 added (/mean)",
		},
		{"binary", []string{"\x01\x02"}, "\x01\x03", schema.StageUnknown, "the payload is opaque, not a document"},
		{"binary parent", []string{"\x01\x02"}, "{}", schema.StageUnknown, "a parent's payload is opaque, not a document"},
		{"binary copy", []string{"\x01\x02"}, "\x01\x02", schema.StageDelivery, "the payload is the parent's, byte for byte"},
		{
			"CloudEvents in structured mode",
			[]string{`{"specversion":"1.0","id":"1","type":"A","source":"s","data":{"id":"order-1"}}`},
			`{"specversion":"1.0","id":"2","type":"B","source":"t","data":{"id":"order-1","ok":true}}`,
			schema.StageEnrichment, "all 1 fields of the parent kept, 1 added (/data/ok)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var parents [][]byte
			for _, p := range c.parents {
				parents = append(parents, []byte(p))
			}
			if stage, reason := payload.Classify(parents, []byte(c.child)); stage != c.stage || reason != c.reason {
				t.Errorf("%s: %s", stage, reason)
			}
		})
	}
	if stage, reason := payload.Classify([][]byte{nil}, []byte("{}")); stage != schema.StageUnknown || reason != "a parent's payload is null, not a document" {
		t.Errorf("after a tombstone: %s: %s", stage, reason)
	}
}
