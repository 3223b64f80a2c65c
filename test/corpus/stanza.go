package corpus

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Line is one line of a case: a word and what stands behind it.
type Line struct {
	Word string
	Rest string
}

// Case is one input of a family, with what must hold for it.
type Case struct {
	Name  string
	Lines []Line // the input
	Holds []Line // what must hold, from the lines that begin with =>
	ended int    // index of the file's line behind the last one of the input
}

// File is a family as it stands on disk.
type File struct {
	Path  string
	Cases []*Case
	lines []string
}

// Parse reads a family:
//
//	# a comment
//	case name-of-the-case
//	word expression …
//	=> word what must hold
//
// Cases are separated by empty lines; names are unique in a file. Expressions
// are read by [Bytes].
func Parse(path string) (*File, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &File{Path: path, lines: strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")}
	names := map[string]bool{}
	var c *Case
	for i, text := range f.lines {
		word, rest, _ := strings.Cut(text, " ")
		switch {
		case text == "" || word == "#":
		case word == "case":
			if rest == "" || names[rest] {
				return nil, fmt.Errorf("%s:%d: case %q has no name, or that of another", path, i+1, rest)
			}
			names[rest] = true
			c = &Case{Name: rest, ended: i + 1}
			f.Cases = append(f.Cases, c)
		case c == nil:
			return nil, fmt.Errorf("%s:%d: %q stands before any case", path, i+1, text)
		case word == "=>":
			word, rest, _ = strings.Cut(rest, " ")
			c.Holds = append(c.Holds, Line{word, rest})
		case len(c.Holds) > 0:
			return nil, fmt.Errorf("%s:%d: input behind what must hold", path, i+1)
		default:
			c.Lines = append(c.Lines, Line{word, rest})
			c.ended = i + 1
		}
	}
	return f, nil
}

// Write puts the file back with what its cases now say must hold.
func (f *File) Write() error {
	var out bytes.Buffer
	next := 0
	for i, text := range f.lines {
		if !strings.HasPrefix(text, "=> ") {
			out.WriteString(text + "\n")
		}
		for next < len(f.Cases) && f.Cases[next].ended == i+1 {
			for _, h := range f.Cases[next].Holds {
				out.WriteString(strings.TrimRight("=> "+h.Word+" "+h.Rest, " ") + "\n")
			}
			next++
		}
	}
	return os.WriteFile(f.Path, out.Bytes(), 0o644)
}

// Holding gives what must hold as text, a line each.
func (c *Case) Holding() string {
	var b strings.Builder
	for _, h := range c.Holds {
		b.WriteString(strings.TrimRight(h.Word+" "+h.Rest, " ") + "\n")
	}
	return b.String()
}

// Bytes reads an expression: terms joined by +, each null, 0x and hex digits,
// or a Go string in double or back quotes, which "* n" repeats. Null is nil;
// the empty string is not.
func Bytes(expression string) ([]byte, error) {
	if strings.TrimSpace(expression) == "null" {
		return nil, nil
	}
	out := []byte{}
	rest := strings.TrimSpace(expression)
	for {
		term, behind, err := term(rest)
		if err != nil {
			return nil, fmt.Errorf("expression %.80q: %w", expression, err)
		}
		rest = strings.TrimSpace(behind)
		if after, ok := strings.CutPrefix(rest, "*"); ok {
			digits, behind, _ := strings.Cut(strings.TrimSpace(after), " ")
			n, err := strconv.ParseUint(digits, 10, 24)
			if err != nil {
				return nil, fmt.Errorf("expression %.80q: repeat: %w", expression, err)
			}
			term, rest = bytes.Repeat(term, int(n)), strings.TrimSpace(behind)
		}
		out = append(out, term...)
		after, more := strings.CutPrefix(rest, "+")
		if !more {
			if rest != "" {
				return nil, fmt.Errorf("expression %.80q: %.20q is left over", expression, rest)
			}
			return out, nil
		}
		rest = strings.TrimSpace(after)
	}
}

func term(text string) (value []byte, rest string, err error) {
	if digits, ok := strings.CutPrefix(text, "0x"); ok {
		digits, rest, _ = strings.Cut(digits, " ")
		value, err = hex.DecodeString(digits)
		return value, rest, err
	}
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return nil, "", fmt.Errorf("want null, 0x… or a quoted string at %.20q", text)
	}
	unquoted, err := strconv.Unquote(quoted)
	return []byte(unquoted), text[len(quoted):], err
}

// Two splits off the first expression, a single term, from the second.
func Two(text string) (first, second string, err error) {
	if word, rest, _ := strings.Cut(text, " "); word == "null" || strings.HasPrefix(word, "0x") {
		return word, rest, nil
	}
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", "", fmt.Errorf("%.80q does not begin with an expression", text)
	}
	rest := strings.TrimSpace(text[len(quoted):])
	if after, ok := strings.CutPrefix(rest, "*"); ok {
		n, behind, _ := strings.Cut(strings.TrimSpace(after), " ")
		return quoted + " * " + n, strings.TrimSpace(behind), nil
	}
	return quoted, rest, nil
}
