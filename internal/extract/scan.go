package extract

import (
	"encoding/json"
	"strconv"
)

// scanner walks JSON text (RFC 8259) and validates it on the way, without
// building a tree. Every method returns false on text that is not JSON; the
// scanner is then of no further use.
type scanner struct {
	data    []byte
	pos     int
	depth   int
	tooDeep bool // what stopped the scanner is nesting beyond MaxDepth
}

// peek skips white space and gives the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// end tells that nothing but white space is left.
func (s *scanner) end() bool { return s.peek() == 0 && s.pos == len(s.data) }

// next consumes c, after white space.
func (s *scanner) next(c byte) bool {
	if s.peek() != c || s.pos == len(s.data) {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) enter() bool {
	s.depth++
	s.tooDeep = s.depth > MaxDepth
	return !s.tooDeep
}

// skip consumes one value of any kind.
func (s *scanner) skip() bool {
	switch c := s.peek(); {
	case c == '"':
		_, _, ok := s.text()
		return ok
	case c == '{':
		return s.skipObject()
	case c == '[':
		return s.skipArray()
	case c == '-', '0' <= c && c <= '9':
		_, ok := s.number()
		return ok
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return false
}

func (s *scanner) skipObject() bool {
	s.pos++
	if !s.enter() {
		return false
	}
	for more := !s.next('}'); more; more = !s.next('}') {
		if _, _, ok := s.key(); !ok || !s.skip() || !s.separated('}') {
			return false
		}
	}
	s.depth--
	return true
}

func (s *scanner) skipArray() bool {
	s.pos++
	if !s.enter() {
		return false
	}
	for more := !s.next(']'); more; more = !s.next(']') {
		if !s.skip() || !s.separated(']') {
			return false
		}
	}
	s.depth--
	return true
}

// separated consumes a comma that another element follows, or sees the end.
func (s *scanner) separated(end byte) bool {
	if s.next(',') {
		return s.peek() != end
	}
	return s.peek() == end
}

// key consumes a member's name and the colon.
func (s *scanner) key() (raw []byte, escaped, ok bool) {
	if s.peek() != '"' {
		return nil, false, false
	}
	raw, escaped, ok = s.text()
	return raw, escaped, ok && s.next(':')
}

// text consumes a string and gives what is between the quotes, with its
// escapes; the next byte must be the quote.
func (s *scanner) text() (raw []byte, escaped, ok bool) {
	data, start := s.data, s.pos+1
	for i := start; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			s.pos = i + 1
			return data[start:i], escaped, true
		case c == '\\':
			escaped = true
			n := escapeLength(data[i:])
			if n == 0 {
				return nil, false, false
			}
			i += n - 1
		case c < 0x20:
			return nil, false, false
		}
	}
	return nil, false, false
}

// escapeLength gives the length of the escape that data begins with, or 0.
func escapeLength(data []byte) int {
	if len(data) < 2 {
		return 0
	}
	switch data[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(data) >= 6 && isHex(data[2:6]) {
			return 6
		}
	}
	return 0
}

// number consumes a number and gives its text.
func (s *scanner) number() (raw []byte, ok bool) {
	start := s.pos
	if s.pos < len(s.data) && s.data[s.pos] == '-' {
		s.pos++
	}
	whole := s.pos
	if s.digits() == 0 || s.data[whole] == '0' && s.pos > whole+1 {
		return nil, false
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if s.digits() == 0 {
			return nil, false
		}
	}
	if s.pos < len(s.data) && s.data[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		if s.digits() == 0 {
			return nil, false
		}
	}
	return s.data[start:s.pos], true
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

func (s *scanner) literal(text string) bool {
	if len(s.data)-s.pos < len(text) || string(s.data[s.pos:s.pos+len(text)]) != text {
		return false
	}
	s.pos += len(text)
	return true
}

// scalar consumes a string or a number and gives its text, unescaped.
func (s *scanner) scalar() (value []byte, ok bool) {
	if s.peek() != '"' {
		return s.number()
	}
	raw, escaped, ok := s.text()
	if ok && escaped {
		raw = unescaped(raw)
	}
	return raw, ok
}

// isScalar tells that the next value is a string or a number.
func (s *scanner) isScalar() bool {
	c := s.peek()
	return c == '"' || c == '-' || '0' <= c && c <= '9'
}

// elements consumes an array and gives each of its strings and numbers.
func (s *scanner) elements(give func([]byte)) bool {
	if !s.next('[') || !s.enter() {
		return false
	}
	for more := !s.next(']'); more; more = !s.next(']') {
		if s.isScalar() {
			value, ok := s.scalar()
			if !ok {
				return false
			}
			give(value)
		} else if !s.skip() {
			return false
		}
		if !s.separated(']') {
			return false
		}
	}
	s.depth--
	return true
}

// locate moves to the value that a JSON Pointer's tokens name, in text known to
// be valid; of members with the same name the last.
func (s *scanner) locate(tokens []string) bool {
	for _, token := range tokens {
		found := -1
		switch s.peek() {
		case '{':
			s.pos++
			for !s.next('}') {
				raw, escaped, _ := s.key()
				if escaped {
					raw = unescaped(raw)
				}
				if string(raw) == token {
					found = s.pos
				}
				if !s.skip() || !s.separated('}') {
					return false
				}
			}
		case '[':
			index, err := strconv.ParseUint(token, 10, 31)
			if err != nil {
				return false
			}
			s.pos++
			for i := uint64(0); found < 0 && !s.next(']'); i++ {
				if i == index {
					found = s.pos
				} else if !s.skip() || !s.separated(']') {
					return false
				}
			}
		}
		if found < 0 {
			return false
		}
		s.pos = found
	}
	return true
}

// unescaped resolves the escapes of a string. Bytes that are not UTF-8 stay, so
// that they are refused as an id rather than mended.
func unescaped(raw []byte) []byte {
	if !printable(raw) {
		return raw
	}
	var text string
	if json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &text) != nil {
		return raw
	}
	return []byte(text)
}
