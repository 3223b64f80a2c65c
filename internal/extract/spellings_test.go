package extract_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

// spelled writes 8 or 16 bytes in every way that producers and people do.
func spelled(raw []byte) []string {
	low := hex.EncodeToString(raw)
	all := []string{
		low, strings.ToUpper(low),
		base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
		base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
	}
	if len(raw) == 8 {
		return append(all, fmt.Sprint(binary.BigEndian.Uint64(raw)))
	}
	uuid := low[:8] + "-" + low[8:12] + "-" + low[12:16] + "-" + low[16:20] + "-" + low[20:]
	return append(all, uuid, strings.ToUpper(uuid))
}

// TestAnySpellingMeetsAnyOther holds the look-up of ids to its promise: an id
// that is kept in one encoding is found by what somebody types in another.
func TestAnySpellingMeetsAnyOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{8, 16}).Draw(t, "bytes")
		raw := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "id")
		if strings.Trim(string(raw), "\x00") == "" {
			t.Skip("no id is zero")
		}
		all := spelled(raw)
		kept := rapid.SampledFrom(all).Draw(t, "kept")
		typed := rapid.SampledFrom(all).Draw(t, "typed")
		switch rapid.IntRange(0, 5).Draw(t, "as pasted") {
		case 0:
			typed = " " + typed + "\n"
		case 1:
			typed = `"` + typed + `"`
		case 2:
			if strings.Contains(typed, "-") && len(typed) == 36 {
				typed = "urn:uuid:" + typed
			}
		}
		ids, forms := extract.Spellings(typed)
		if !slices.Contains(ids, kept) || len(forms) == 0 || len(ids) > 24 {
			t.Fatalf("%q is not found as %q: %q, read as %q", kept, typed, ids, forms)
		}
		// A trace or span id comes as hex of any case or as a UUID, is kept as
		// extraction leaves it, and a trace is found by any spelling.
		var x schema.Extraction
		rules, err := extract.New(extract.Options{})
		if err != nil {
			t.Fatal(err)
		}
		rules.Extract(&schema.Record{Headers: headers("traceId", all[rapid.IntRange(0, 1).Draw(t, "case")])}, &x)
		if !slices.Contains(extract.NormalizeID(typed), x.TraceID) {
			t.Fatalf("trace %q is not found as %q: %q", x.TraceID, typed, extract.NormalizeID(typed))
		}
	})
}

// TestSpellingsSayWhatTheTextIs names what each kind of text is read as.
func TestSpellingsSayWhatTheTextIs(t *testing.T) {
	for text, want := range map[string]string{
		trace1: "128 bits in hex", strings.ToUpper(span1): "64 bits in hex", parent: "traceparent",
		"4BF92F35-77B3-4DA6-A3CE-929D0E0E4736": "UUID", "67667974448284343": "64 bits in decimal",
		"1234567890123456": "64 bits in hex, 64 bits in decimal", "S/kvNXezTaajzpKdDg5HNg==": "base64 of 128 bits",
		"0000000000000000" + span1: "128 bits in hex, 64 bits in hex, padded",
		"orders/0/17":              "topic/partition/offset", "A-17": "text", "'; DROP TABLE records; --": "text", "99999999999999999999999": "text",
		"": "", "a\x00": "", strings.Repeat("4", 10_000): "",
	} {
		ids, forms := extract.Spellings(text)
		if got := strings.Join(forms, ", "); got != want || (ids == nil) != (want == "") {
			t.Errorf("%q: read as %q, want %q; %q", text, got, want, ids)
		}
	}
}
