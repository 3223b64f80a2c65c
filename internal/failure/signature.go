package failure

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// signatureVersion is part of what is hashed: other rules give other IDs.
const signatureVersion = "annals.failure-signature/1"

// maxPattern bounds a normalised message, in bytes.
const maxPattern = 300

// Signature is what alike failures have in common.
type Signature struct {
	ID      string // 16 hex digits
	Class   string
	Message string // normalised
	Stage   string
}

// Signature gives the failure's: exception, message without what differs from one
// record to the next, and what failed.
func (f *Failure) Signature() Signature {
	s := Signature{Class: f.Class, Message: Normalise(f.Message), Stage: f.Stage}
	sum := sha256.Sum256([]byte(strings.Join([]string{signatureVersion, s.Class, s.Message, s.Stage}, "\x00")))
	s.ID = hex.EncodeToString(sum[:8])
	return s
}

// variable finds what differs between alike messages, the longest first: UUIDs,
// times, hash codes and other hexadecimal numbers with a digit in them, quoted
// text, and numbers. A digit behind a letter belongs to a name.
var variable = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b` +
	`|\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?` +
	`|@[0-9a-f]{4,16}\b` +
	`|\b(?:0x)?[0-9a-f]*(?:[a-f][0-9]|[0-9][a-f])[0-9a-f]*\b` +
	`|"[^"\n]*"|'[^'\n]*'|` + "`[^`\n]*`" +
	`|\b\d+(?:[.,:]\d+)*\b`)

// Normalise makes alike messages equal: of its first line, what differs from one
// record to the next becomes a placeholder. The result has at most 300 bytes.
func Normalise(message string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	line = variable.ReplaceAllStringFunc(line, func(found string) string {
		switch c := found[0]; {
		case c == '"' || c == '\'' || c == '`':
			return "<text>"
		case c == '@':
			return "@<id>"
		case strings.ContainsAny(found, "abcdefABCDEF") || strings.Count(found, "-") == 4:
			return "<id>"
		case len(found) >= 10 && found[4] == '-' && found[7] == '-':
			return "<time>"
		default:
			return "<n>"
		}
	})
	return text([]byte(strings.Join(strings.Fields(line), " ")), maxPattern)
}
