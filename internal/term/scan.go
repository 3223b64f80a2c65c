package term

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a text.
const (
	MaxBytes      = 4096
	MaxValueBytes = 512
)

// Error says what is wrong with a text, and where.
type Error struct {
	At      int // the character at fault, counted from 1; one more than there are: the end
	Message string
}

// Error gives the place and what is wrong there.
func (e *Error) Error() string { return fmt.Sprintf("character %d: %s", e.At, e.Message) }

// Character is At, for those who do not know this package.
func (e *Error) Character() int { return e.At }

func fault(at int, format string, args ...any) *Error {
	return &Error{At: at, Message: fmt.Sprintf(format, args...)}
}

// char is a character with its place; what was quoted means only itself.
type char struct {
	r      rune
	at     int
	quoted bool
}

// word is what stands between two spaces, without its quotes.
type word struct {
	at, end int // its first character, and the one after it
	chars   []char
}

func textOf(chars []char) string {
	var b strings.Builder
	for _, c := range chars {
		b.WriteRune(c.r)
	}
	return b.String()
}

// scan parts a text into words.
func scan(text string) ([]word, *Error) {
	if len(text) > MaxBytes {
		return nil, fault(utf8.RuneCountInString(text[:MaxBytes]), "a search takes at most %d bytes, and here are %d", MaxBytes, len(text))
	}
	if !utf8.ValidString(text) {
		valid := strings.ToValidUTF8(text, "\xff")
		return nil, fault(utf8.RuneCountInString(valid[:strings.IndexByte(valid, 0xff)])+1, "not UTF-8")
	}
	runes := []rune(text)
	var words []word
	for i := 0; i < len(runes); {
		if unicode.IsSpace(runes[i]) {
			i++
			continue
		}
		w, err := scanWord(runes, i)
		if err != nil {
			return nil, err
		}
		words = append(words, w)
		i = w.end - 1
	}
	return words, nil
}

// scanWord reads the word that begins at index i.
func scanWord(runes []rune, i int) (word, *Error) {
	w := word{at: i + 1}
	opened := 0 // the place of an open quote; 0: none
	for ; i < len(runes); i++ {
		r := runes[i]
		switch {
		case r == '"' && opened > 0:
			opened = 0
		case r == '"':
			opened = i + 1
		case opened == 0 && unicode.IsSpace(r):
			w.end = i + 1
			return w, nil
		case unicode.IsControl(r) || r == utf8.RuneError:
			return w, fault(i+1, "%U cannot be part of a search", r)
		case opened > 0 && r == '\\':
			if i++; i == len(runes) || runes[i] != '"' && runes[i] != '\\' {
				return w, fault(i, `a backslash in quotes is followed by " or \`)
			}
			w.chars = append(w.chars, char{runes[i], i + 1, true})
		default:
			w.chars = append(w.chars, char{r, i + 1, opened > 0})
		}
	}
	if opened > 0 {
		return w, fault(opened, "this quote is not closed")
	}
	w.end = len(runes) + 1
	return w, nil
}
