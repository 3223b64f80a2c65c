package main

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSplitInsert(t *testing.T) {
	for text, want := range map[string][3]string{
		"INSERT INTO t FORMAT Native":                          {"INSERT INTO t ", "Native", ""},
		"insert into t(a, b) format CSV\n1,2\n":                {"insert into t(a, b) ", "CSV", "1,2\n"},
		"INSERT INTO t SETTINGS a=1 FORMAT TSV\r\n\n1":         {"INSERT INTO t SETTINGS a=1 ", "TSV", "\n1"},
		"INSERT INTO t FORMAT JSONEachRow {\"a\":1}":           {"INSERT INTO t ", "JSONEachRow", "{\"a\":1}"},
		"INSERT INTO t FORMAT TSV;\nSELECT 1":                  {"INSERT INTO t ", "TSV", "SELECT 1"},
		"INSERT INTO t VALUES (1, ';')":                        {"INSERT INTO t ", "Values", " (1, ';')"},
		"INSERT INTO t VALUES(1)":                              {"INSERT INTO t ", "Values", "(1)"},
		"INSERT INTO `FORMAT x` (`VALUES`) FORMAT CSV":         {"INSERT INTO `FORMAT x` (`VALUES`) ", "CSV", ""},
		"/* FORMAT a */ INSERT -- VALUES\n INTO t\tFORMAT CSV": {"/* FORMAT a */ INSERT -- VALUES\n INTO t\t", "CSV", ""},
		"INSERT INTO t (format, values) VALUES (1, 2)":         {"INSERT INTO t (format, values) ", "Values", " (1, 2)"},
		"INSERT INTO FUNCTION file('FORMAT X') FORMAT CSV":     {"INSERT INTO FUNCTION file('FORMAT X') ", "CSV", ""},
		"INSERT INTO t SELECT 1 FORMAT CSV":                    {},
		"INSERT INTO t WITH 1 AS x SELECT x":                   {},
		"INSERT INTO t FROM INFILE 'x' FORMAT CSV":             {},
		"INSERT INTO t":                     {},
		"INSERT INTO t FORMAT":              {},
		"INSERT INTO t FORMAT 'CSV'":        {},
		"SELECT 'INSERT INTO t FORMAT CSV'": {},
		"'INSERT' INTO t FORMAT CSV":        {},
		"":                                  {},
	} {
		got, ok := splitInsert(text)
		if ok != (want[1] != "") {
			t.Errorf("%q: ok = %v", text, ok)
			continue
		}
		if ok && (got.head != want[0] || got.format != want[1] || text[got.rest:] != want[2]) {
			t.Errorf("%q: head %q, format %q, rest %q; want %q", text, got.head, got.format, text[got.rest:], want)
		}
	}
}

// TestSplitInsertSkipsQuotes holds that nothing in quotes, comments or brackets
// is taken for the format, whatever it says.
func TestSplitInsertSkipsQuotes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"FORMAT CSV", "VALUES", "SELECT", "'", "\"", "`", "\\", "--", "/*", "*/", "\n", ")", "x", ";"})
		inner := strings.Join(rapid.SliceOf(word).Draw(t, "inner"), " ")
		quote := rapid.SampledFrom([]string{"'", "\"", "`"}).Draw(t, "quote")
		quoted := quote + strings.ReplaceAll(strings.ReplaceAll(inner, `\`, `\\`), quote, quote+quote) + quote
		head := "INSERT INTO f(" + quoted + ", " + quoted + ") "
		data := rapid.String().Draw(t, "data")
		got, ok := splitInsert(head + "FORMAT TSV\n" + data)
		if !ok || got.head != head || got.format != "TSV" || (head + "FORMAT TSV\n" + data)[got.rest:] != data {
			t.Fatalf("%q: %+v %v", head, got, ok)
		}
	})
}

// TestLexerEnds holds that no text makes the lexer stand still or run over.
func TestLexerEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching("[-/*'\"`\\\\( )#!a\n]*")).Draw(t, "text")
		lex := lexer{text: text}
		for last := -1; lex.next() != ""; last = lex.pos {
			if lex.pos <= last || lex.pos > len(text) {
				t.Fatalf("%q: at %d after %d", text, lex.pos, last)
			}
		}
		_, _ = splitInsert("INSERT " + text)
		canStream(text, "Native")
		isSelect(text)
	})
}

func TestCanStream(t *testing.T) {
	for _, c := range []struct {
		sql, format string
		want        bool
	}{
		{"SELECT 1", "Native", true},
		{"SELECT 1", "JSON", false},
		{"SELECT 1\nFORMAT JSONEachRow", "Native", true},
		{"SELECT 1 FORMAT JSON", "Native", false},
		{"SELECT 1 format Parquet SETTINGS max_threads = 1", "Native", false},
		{"SELECT 'FORMAT CSV' FORMAT JSON", "Native", false},
		{"SELECT 'FORMAT JSON'", "Native", false}, // wrong, and harmless
		{"SELECT format FROM t", "Native", false}, // the same
		{"SELECT information FROM t", "Native", true},
	} {
		if got := canStream(c.sql, c.format); got != c.want {
			t.Errorf("%q in %s: %v", c.sql, c.format, got)
		}
	}
}
