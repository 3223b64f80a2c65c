package terminal

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain returns a writer that passes text on and shows what a terminal would
// obey as escapes of Go's: control characters but tabs and line breaks, C1
// controls, bidirectional controls, and bytes that are not UTF-8. A character
// must not be split between two writes. Not for concurrent use if w is not.
func Plain(w io.Writer) io.Writer { return plain{w} }

type plain struct{ w io.Writer }

// Write implements io.Writer. The count is of the bytes given, not of those
// written.
func (p plain) Write(text []byte) (int, error) {
	if _, err := io.WriteString(p.w, escaped(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Line gives a text that stays on its line: a line break in it is shown as \n,
// so that what follows cannot pass for a line of ours.
func Line(text string) string { return strings.ReplaceAll(text, "\n", `\n`) }

func escaped(text string) string {
	var out strings.Builder
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, text[at])
		case r == '\r':
			out.WriteString(`\r`)
		case obeyed(r) && r < 0x80:
			fmt.Fprintf(&out, `\x%02x`, r)
		case obeyed(r):
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteString(text[at : at+size])
		}
		at += size
	}
	return out.String()
}

// obeyed tells the characters that do something else than being shown.
func obeyed(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r == '\u2028', r == '\u2029': // line and paragraph separator
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}
