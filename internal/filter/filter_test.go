package filter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/filter"
	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

var moment = time.Date(2026, 3, 29, 9, 15, 0, 0, time.UTC)

func row() *segment.Row {
	return &segment.Row{
		Record: schema.Record{
			Topic: "orders", Partition: 3, Offset: 1<<53 + 1, Timestamp: moment.UnixMilli(), Key: []byte("EURUSD"),
			Headers: []schema.Header{
				{Name: "region", Value: []byte("US")},
				{Name: "region", Value: []byte("EU")},
				{Name: "raw", Value: []byte{0xff, 0}},
				{Name: "none"},
			},
			Value: []byte(`{"amount": 12.5, "n": 9007199254740993, "big": 123456789012345678901234567890, "legs": [{"ccy": "EUR"}, {"ccy": "USD"}], "null": null}`),
		},
		X: schema.Extraction{EventType: "Placed", EventVersion: "2", SourceService: "desk", TraceID: "ab", Stage: schema.StageEnrichment, EventTime: moment.UnixMicro() + 1, HasEventTime: true},
	}
}

func match(t *testing.T, text string, r *segment.Row) (bool, error) {
	t.Helper()
	f, err := filter.Compile(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f.Match(r, func() (any, error) {
		doc, format, err := payload.Decode(r.Value)
		if err == nil && format == payload.Opaque {
			err = errors.New("no JSON")
		}
		return doc, err
	})
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`topic == "orders" && partition == 3 && offset == 9007199254740993`:  true,
		`offset == 9007199254740992`:                                         false, // not by way of a double
		`timestamp == timestamp("2026-03-29T09:15:00Z")`:                     true,
		`timestamp >= timestamp("2026-03-29T09:15:00.001Z")`:                 false,
		`timestamp.getHours() == 9`:                                          true,
		`key == "EURUSD"`:                                                    true,
		`key.startsWith("EUR") && key.matches("^[A-Z]{6}$")`:                 true,
		`headers["region"] == "EU"`:                                          true, // the last
		`headerList.exists(h, h.name == "region" && h.value == "US")`:        true,
		`headers["raw"] == b"\xff\x00"`:                                      true,
		`headers["none"] == null && "none" in headers && !("x" in headers)`:  true,
		`headers.?x.orValue("") == ""`:                                       true,
		`value.amount > 12 && value.amount < 13`:                             true,
		`value.n == 9007199254740993`:                                        true,
		`value.n == 9007199254740992`:                                        false,
		`value.big > 1.0e29`:                                                 true,
		`value.legs.exists(l, l.ccy == "USD")`:                               true,
		`value.legs.all(l, l.ccy == "USD")`:                                  false,
		`has(value.missing) && value.missing == 1`:                           false,
		`value.?missing.orValue(7) == 7`:                                     true,
		`value["null"] == null`:                                              true,
		`eventType == "Placed" && eventVersion == "2" && service == "desk"`:  true,
		`stage == "enrichment" && traceId == "ab" && spanId + eventId == ""`: true,
		`eventTime > timestamp && eventTime - timestamp < duration("1ms")`:   true,
		"true ||\nvalue.missing == 1":                                        true, // what decides is enough
	} {
		if got, err := match(t, text, row()); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	tombstone := row()
	tombstone.Key, tombstone.Value = nil, nil
	if got, err := match(t, `key == null && value == null`, tombstone); err != nil || !got {
		t.Errorf("tombstone: %v, %v", got, err)
	}
	binary := row()
	binary.Key = []byte{0xff}
	if got, err := match(t, `key == b"\xff"`, binary); err != nil || !got {
		t.Errorf("binary key: %v, %v", got, err)
	}
}

// What cannot be told is no "no".
func TestWhatCannotBeTold(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		`value.missing == 1`:     "no such key",
		`value.amount > "x"`:     "no such overload",
		`headers["x"] == "1"`:    "no such key",
		`value.amount`:           "want true or false",
		`int(key) > 0`:           "",
		`value.legs[2].ccy == 1`: "",
	} {
		if got, err := match(t, text, row()); err == nil || got || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	broken := row()
	broken.Value = []byte("\x01\x02")
	if _, err := match(t, `value.amount > 0`, broken); err == nil || err.Error() != "no JSON" {
		t.Errorf("undecodable: %v", err)
	}
	for _, text := range []string{`topic == "orders" || value.amount > 0`, `value.amount > 0 || topic == "orders"`} {
		if got, err := match(t, text, broken); err != nil || !got {
			t.Errorf("what the topic decides needs no payload: %v, %v", got, err)
		}
	}
	// Else a filter that is negated would choose what nobody could read.
	for _, text := range []string{`!(value.amount > 0)`, `!has(value.amount)`, `value == null`, `[value].size() == 1`, `value.?amount.orValue(1) == 1`, `value.amount > 0 ? true : true`} {
		if got, err := match(t, text, broken); err == nil || got {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestTextsThatAreNone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]filter.Error{
		``:                               {Message: "no expression"},
		` `:                              {Message: "no expression"},
		`valu.amount > 1`:                {At: 1, Line: 1, Column: 1, Message: "undeclared reference"},
		`value.amount > 1 && amonut > 2`: {At: 21, Line: 1, Column: 21, Message: "amonut"},
		"topic == \"ä\" &&\n  partition == \"x\"": {At: 29, Line: 2, Column: 13, Message: "no matching overload"},
		`value.amount >`:                     {At: 15, Line: 1, Column: 15, Message: "Syntax error"},
		`topic == "orders`:                   {At: 10, Line: 1, Column: 10, Message: "Syntax error"},
		`now() > timestamp`:                  {At: 4, Line: 1, Column: 4, Message: "now"},
		`topic`:                              {Message: "it gives string"},
		`"\xff" == topic + "` + "\xff" + `"`: {Message: "not UTF-8"},
		strings.Repeat("(", 60) + "true" + strings.Repeat(")", 60):       {At: -1, Message: "recursion"},
		`topic == "` + strings.Repeat("x", filter.MaxBytes) + `"`:        {Message: "at most 4096"},
		`value.a.all(a, a.all(b, b.all(c, c.all(d, d.all(e, e == 1)))))`: {Message: "units a record, by estimate"},
	} {
		_, err := filter.Compile(text)
		var got *filter.Error
		if !errors.As(err, &got) || schema.KindOf(err) != schema.Invalid {
			t.Errorf("%.80q: %v", text, err)
			continue
		}
		if !strings.Contains(got.Message, want.Message) || want.At >= 0 && (got.At != want.At || got.Line != want.Line || got.Column != want.Column) {
			t.Errorf("%.80q: %+v, want %+v", text, *got, want)
		}
		if got.At > 0 && !strings.Contains(err.Error(), fmt.Sprintf("column %d", got.Column)) {
			t.Errorf("%.80q: %v does not point at the column", text, err)
		}
	}
}

// A record that is larger than an estimate assumes is stopped while it is read.
func TestCostOfARecord(t *testing.T) {
	t.Parallel()
	large := row()
	large.Value = []byte(`{"a": [` + strings.Repeat("1,", 3000) + `1]}`)
	text := `value.a.all(x, value.a.all(y, x == y))`
	if _, err := match(t, text, large); !errors.Is(err, filter.ErrCost) || !strings.Contains(err.Error(), "1000000") {
		t.Errorf("%v", err)
	}
	large.Value = []byte(`{"a": [1, 1, 1]}`)
	if got, err := match(t, text, large); err != nil || !got {
		t.Errorf("a small one: %v, %v", got, err)
	}
}

func TestUses(t *testing.T) {
	t.Parallel()
	f, err := filter.Compile(`topic == "x" && eventType == "key" && headers["value"] == "1"`)
	if err != nil {
		t.Fatal(err)
	}
	if f.Uses(filter.Value) || f.Uses(filter.Key) || !f.Uses(filter.Headers) || f.Columns() != segment.Payload|segment.Extracted {
		t.Errorf("%+v %v", f, f.Columns())
	}
}

// A leading dot asks for the record's variable also where a loop's own hides it: what
// may not be looked into is not looked into by that name either.
func TestUsesBehindADot(t *testing.T) {
	t.Parallel()
	for text, variable := range map[string]string{
		`.value.amount > 12`:                                           filter.Value,
		`["x"].exists(value, .value.amount > 12)`:                      filter.Value,
		`["x"].exists(key, .key == "EURUSD")`:                          filter.Key,
		`[{}].exists(headers, .headers.region == "EU")`:                filter.Headers,
		`["x"].exists(headerList, .headerList[0].name == "region")`:    filter.HeaderList,
		`["x"].exists(value, ["y"].exists(value, .value.amount > 12))`: filter.Value,
	} {
		f, err := filter.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if chosen, err := match(t, text, row()); err != nil || !chosen {
			t.Errorf("%s: %v, %v", text, chosen, err)
		}
		if !f.Uses(variable) || f.Columns() != segment.Payload {
			t.Errorf("%s: %v, %v", text, f.Uses(variable), f.Columns())
		}
	}
}

// FuzzCompile holds any text to the promise: a filter, or Invalid and inside the
// text; and any filter to be the same twice for the same record.
func FuzzCompile(f *testing.F) {
	f.Add(`value.amount > 1000 && headers["region"] == "EU"`)
	f.Add("key.matches('(a+)+$') ||\n[1,2].exists(x, x > partition)")
	f.Add(`value.legs.map(l, l.ccy).filter(c, c == "EUR").size() > 0`)
	f.Add(`{"a": value}.?a.?b.orValue(timestamp) > timestamp`)
	f.Fuzz(func(t *testing.T, text string) {
		compiled, err := filter.Compile(text)
		if err != nil {
			var at *filter.Error
			if !errors.As(err, &at) || schema.KindOf(err) != schema.Invalid || at.At < 0 || at.At > len([]rune(text))+1 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		decode := func() (any, error) {
			doc, _, err := payload.Decode(row().Value)
			return doc, err
		}
		one, err := compiled.Match(row(), decode)
		two, again := compiled.Match(row(), decode)
		if one != two || (err == nil) != (again == nil) {
			t.Fatalf("%q: %v, %v and then %v, %v", text, one, err, two, again)
		}
	})
}
