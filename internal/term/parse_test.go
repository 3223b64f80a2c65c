package term_test

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/internal/term"
)

var now = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func TestParse(t *testing.T) {
	three := int32(3)
	for text, want := range map[string]term.Search{
		"":    {},
		"  ":  {},
		"a-1": {ID: "a-1"},
		"service:risk-engine type:FxRate* after:2024-01-01": {
			Service: term.Match{Text: "risk-engine"}, Type: term.Match{Text: "FxRate", Prefix: true}, From: day(2024, 1, 1),
		},
		"topic:a,b.* TOPIC:c":               {Topics: []term.Match{{Text: "a"}, {Text: "b.", Prefix: true}, {Text: "c"}}},
		`type:"a b*" "urn:uuid:1"`:          {Type: term.Match{Text: "a b*"}, ID: "urn:uuid:1"},
		`type:"say \"\\" x`:                 {Type: term.Match{Text: `say "\`}, ID: "x"},
		"team:payments violation:contract*": {Team: "payments", Violation: term.Match{Text: "contract", Prefix: true}},
		`service:"' OR 1=1; --"`:            {Service: term.Match{Text: "' OR 1=1; --"}},
		"partition:3 version:2 id:x":        {Partition: &three, Version: "2", ID: "x"},
		"stage:Enrichment status:ALL":       {Stage: "enrichment", Status: "all"},
		"fx.rates/0/17":                     {ID: "fx.rates/0/17"},
		"payload/0/17":                      {ID: "payload/0/17"},
		`"header.a=b"`:                      {ID: "header.a=b"},
		`key:k Header.Tenant="emea =1" payload:a payload:b`: {Bytes: []term.Bytes{
			{At: 1, Part: term.Key, Value: "k"},
			{At: 7, Part: term.Header, Name: "Tenant", Value: "emea =1"},
			{At: 31, Part: term.Payload, Value: "a"},
			{At: 41, Part: term.Payload, Value: "b"},
		}},
		`payload/order/a~1b=12.50 topic:t`: {Topics: []term.Match{{Text: "t"}}, Bytes: []term.Bytes{
			{At: 1, Part: term.Pointer, Name: "/order/a~1b", Value: "12.50"},
		}},
		"00:1b:44":            {ID: "00:1b:44"},
		"after:7d before:now": {From: now.AddDate(0, 0, -7), To: now},
		"event_after:2008 event_before:7d after:2007": {From: day(2007, 1, 1), EventFrom: day(2008, 1, 1), EventTo: now.AddDate(0, 0, -7)},
		"after:2008 before:2008-10":                   {From: day(2008, 1, 1), To: day(2008, 10, 1)},
		`after:"2008-10-24 14:15"`:                    {From: day(2008, 10, 24).Add(14*time.Hour + 15*time.Minute)},
		"after:2008-10-24T14:15+02:00":                {From: day(2008, 10, 24).Add(12*time.Hour + 15*time.Minute)},
	} {
		got, err := term.Parse(text, now)
		want.Places = got.Places
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestParsePointsAtWhatIsWrong(t *testing.T) {
	for text, want := range map[string]struct {
		at   int
		says string
	}{
		"type:a typ:b":                       {8, "did you mean type?"},
		"urn:uuid:1":                         {1, "goes in quotes"},
		"header.tenant":                      {14, "needs a value"},
		"header.tenant=":                     {15, "needs a value"},
		"x header.=a":                        {10, "needs a name"},
		"header.a=b*":                        {11, "takes no *"},
		"payload/a~2=b":                      {10, "~1 is a /"},
		"payload/a=":                         {11, "needs a value"},
		"key:a key:b":                        {7, "at character 1"},
		"payload:":                           {9, "needs a value"},
		strings.Repeat("header.a=b ", 9):     {89, "at most 8"},
		"é type:":                            {8, "needs a value"},
		"topic:a,,b":                         {9, "needs a value"},
		`x type:"a b`:                        {8, "not closed"},
		`type:"a\n"`:                         {8, "backslash"},
		"type:a*b":                           {7, "at the end"},
		"type:*":                             {6, "leave type out"},
		"stage:ing*":                         {10, "takes no *"},
		"type:a type:b":                      {8, "at character 1"},
		"a b":                                {3, "at character 1"},
		"a id:b":                             {3, "at character 1"},
		"stage:baking":                       {7, "stage is"},
		"status:lost":                        {8, "status is"},
		"partition:-1":                       {11, "number"},
		"partition:2147483648":               {11, "number"},
		"after:2008-02-31":                   {7, "a day"},
		"after:99999999999y":                 {7, "a day"},
		"after:4000000000y":                  {7, "a day"},
		"before:2008 after:2008":             {13, "nothing can lie"},
		"event_before:2008 event_after:2008": {19, "event_after is not before event_before"},
		"event_after:never":                  {13, "event_after takes a day"},
		"a\x00b":                             {2, "U+0000"},
		"ab\xff":                             {3, "UTF-8"},
		`""`:                                 {1, "needs a value"},
		"id:" + strings.Repeat("x", 513):     {4, "at most 512"},
		strings.Repeat("x", 10_000):          {4096, "at most 4096"},
	} {
		_, err := term.Parse(text, now)
		var fault *term.Error
		if !errors.As(err, &fault) || fault.At != want.at || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%.40q: %v; want character %d, %q", text, err, want.at, want.says)
		}
	}
}

// TestTheDocumentListsTheTerms holds what explorers complete to what is parsed.
func TestTheDocumentListsTheTerms(t *testing.T) {
	raw, err := os.ReadFile("../../schema/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := "enum: [" + strings.Join(term.Fields, ", ") + ", header., payload/]"
	if !strings.Contains(string(raw), want) {
		t.Errorf("SearchTerm is not %s", want)
	}
}

// FuzzParse holds any text to the promises: a search within its bounds or an
// error that points into the text; and a quoted value is itself.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"service:risk-engine type:FxRate* after:2024-01-01", `type:"a \"b" x`, "topic:a,b*", "after:7d", "header.a=b", "payload/a/0=1", "' OR 1=1 --", "\xff", `"`, "a:\\"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := term.Parse(text, now)
		var fault *term.Error
		switch {
		case errors.As(err, &fault):
			if fault.At < 1 || fault.At > utf8.RuneCountInString(text)+1 {
				t.Errorf("%q: %v points beside it", text, err)
			}
		case err != nil:
			t.Errorf("%q: %v is no *term.Error", text, err)
		default:
			for _, m := range append(got.Topics, got.Type, got.Service, term.Match{Text: got.ID}, term.Match{Text: got.Version}) {
				if len(m.Text) > term.MaxValueBytes || strings.ContainsFunc(m.Text, unicode.IsControl) {
					t.Errorf("%q: value %q", text, m.Text)
				}
			}
		}
		quoted := `type:"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
		if text == "" || len(text) > term.MaxValueBytes || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
			return
		}
		if again, err := term.Parse(quoted, now); err != nil || again.Type != (term.Match{Text: text}) {
			t.Errorf("%s: %+v, %v", quoted, again, err)
		}
	})
}
