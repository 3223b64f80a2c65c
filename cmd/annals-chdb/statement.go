package main

import (
	"regexp"
	"strings"
)

// insertion is an INSERT whose data follows: what the engine's insert stream
// wants, taken apart.
type insertion struct {
	head   string // the statement up to FORMAT or VALUES
	format string
	// rest is where the data begins in the text that was looked at.
	rest int
}

// splitInsert takes an INSERT apart at its top-level FORMAT name or VALUES.
// It knows just enough of the language to skip quotes, comments and brackets.
// ok is false for anything else: another statement, INSERT … SELECT, or text
// that ends before either word.
func splitInsert(text string) (ins insertion, ok bool) {
	lex := lexer{text: text}
	first := lex.next()
	if !strings.EqualFold(first, "INSERT") {
		return insertion{}, false
	}
	for {
		word := lex.next()
		switch {
		case word == "":
			return insertion{}, false
		case lex.depth > 0:
		case strings.EqualFold(word, "SELECT"), strings.EqualFold(word, "WITH"), strings.EqualFold(word, "INFILE"):
			return insertion{}, false
		case strings.EqualFold(word, "VALUES"):
			return insertion{head: text[:lex.start], format: "Values", rest: lex.pos}, true
		case strings.EqualFold(word, "FORMAT"):
			head := text[:lex.start]
			format := lex.next()
			if !formatName.MatchString(format) {
				return insertion{}, false
			}
			return insertion{head: head, format: format, rest: skipToData(text, lex.pos)}, true
		}
	}
}

var formatName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,63}$`)

// skipToData steps over what stands between the format's name and its data: a
// semicolon, blanks, and at most one line break, as ClickHouse's parser does.
func skipToData(text string, pos int) int {
	for pos < len(text) && (text[pos] == ' ' || text[pos] == '\t' || text[pos] == ';' || text[pos] == '\r') {
		pos++
	}
	if pos < len(text) && text[pos] == '\n' {
		pos++
	}
	return pos
}

// lexer walks over words. Quoted text, numbers and punctuation are steps too,
// and are never equal to a keyword.
type lexer struct {
	text  string
	pos   int // after the word just read
	start int // of the word just read
	depth int // of round brackets
}

// next returns the next word or one other token; "" is the end.
func (l *lexer) next() string {
	l.skipBlank()
	l.start = l.pos
	if l.pos >= len(l.text) {
		return ""
	}
	switch c := l.text[l.pos]; {
	case c == '\'' || c == '"' || c == '`':
		l.skipQuoted(c)
	case isWord(c):
		for l.pos < len(l.text) && isWord(l.text[l.pos]) {
			l.pos++
		}
	default:
		switch c {
		case '(':
			l.depth++
		case ')':
			l.depth--
		}
		l.pos++
	}
	return l.text[l.start:l.pos]
}

func (l *lexer) skipBlank() {
	for l.pos < len(l.text) {
		rest := l.text[l.pos:]
		switch {
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\n' || rest[0] == '\r':
			l.pos++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#!"), strings.HasPrefix(rest, "# "):
			l.skipPast("\n")
		case strings.HasPrefix(rest, "/*"):
			l.pos += 2
			l.skipPast("*/")
		default:
			return
		}
	}
}

func (l *lexer) skipPast(end string) {
	if i := strings.Index(l.text[l.pos:], end); i >= 0 {
		l.pos += i + len(end)
		return
	}
	l.pos = len(l.text)
}

// skipQuoted steps over quoted text, in which a backslash or a doubled quote
// stands for the quote itself.
func (l *lexer) skipQuoted(quote byte) {
	for l.pos++; l.pos < len(l.text); l.pos++ {
		switch l.text[l.pos] {
		case '\\':
			l.pos++
		case quote:
			if l.pos+1 < len(l.text) && l.text[l.pos+1] == quote {
				l.pos++
				continue
			}
			l.pos++
			return
		}
	}
	l.pos = len(l.text)
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// streamable are the formats in which two pieces of a result, one after the
// other, are a result: no header, no trailer. The engine writes every piece of
// a stream as a whole of its own, so the others must not be streamed.
var streamable = map[string]bool{
	"native": true, "rowbinary": true,
	"tabseparated": true, "tsv": true, "tabseparatedraw": true, "tsvraw": true, "csv": true,
	"jsoneachrow": true, "jsonlines": true, "ndjson": true, "jsonstringseachrow": true,
	"jsoncompacteachrow": true, "jsoncompactstringseachrow": true, "null": true,
}

var formatClause = regexp.MustCompile(`(?i)\bFORMAT\s+([A-Za-z][A-Za-z0-9]*)`)

// canStream tells whether the result of a SELECT may be passed on piece by
// piece. A FORMAT clause may stand anywhere that this simple look finds, even
// in a literal; then both it and the default must be streamable, so that a
// wrong guess costs memory and never correctness.
func canStream(sql, format string) bool {
	if !streamable[strings.ToLower(format)] {
		return false
	}
	for _, m := range formatClause.FindAllStringSubmatch(sql, -1) {
		if !streamable[strings.ToLower(m[1])] {
			return false
		}
	}
	return true
}

// isSelect tells whether a reading statement is one that the engine can stream;
// SHOW, DESCRIBE, EXISTS and EXPLAIN are not, and are short.
func isSelect(sql string) bool {
	lex := lexer{text: sql}
	word := lex.next()
	for word == "(" {
		word = lex.next()
	}
	return strings.EqualFold(word, "SELECT") || strings.EqualFold(word, "WITH")
}

// leavesTrace finds statements that change their session, though the engine
// does not count them as such.
var leavesTrace = regexp.MustCompile(`(?i)^\s*(CREATE\s+(OR\s+REPLACE\s+)?TEMPORARY|SET|USE)\b`)
