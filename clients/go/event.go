package annals

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// MaxValueBytes bounds an id, type, version or service.
const MaxValueBytes = 512

// Event is the contract of a produced record. What is empty is left out, or
// chosen as its field says.
type Event struct {
	ID      string    // unique for ever; empty: what the record has under another name, or a random UUID
	Type    string    // what happened: OrderPriced
	Version string    // of the type's form: 2
	Service string    // who says so; empty: left to the client's Hook
	TraceID string    // empty: that of the first input that has one
	Time    time.Time // when it happened; zero: the record's timestamp, or else now
	Stage   string    // ingestion, enrichment, transformation or delivery
}

func unreadable(name, value string) error {
	return fmt.Errorf("%w: %s %.40q is not 1 to %d bytes of printable text, unquoted and without space around it",
		ErrUnreadable, name, value, MaxValueBytes)
}

// stages that a producer declares.
var stages = map[string]bool{"": true, "ingestion": true, "enrichment": true, "transformation": true, "delivery": true}

// headers gives the contract's headers, or says what of it would not be read.
// own are the record's other headers, trace what its inputs give.
func (e Event) headers(own []kgo.RecordHeader, timestamp time.Time, trace []byte) ([]kgo.RecordHeader, error) {
	id := eventID(own)
	if id == nil {
		id = []byte(newID())
	}
	if !stages[e.Stage] {
		return nil, fmt.Errorf("%w: stage %.40q is none of ingestion, enrichment, transformation, delivery", ErrUnreadable, e.Stage)
	}
	at, err := stamp(e.Time, timestamp)
	if err != nil {
		return nil, err
	}
	list := make([]kgo.RecordHeader, 0, 8)
	for _, h := range [...]struct {
		name, value string
		otherwise   []byte
	}{
		{HeaderEventID, e.ID, id},
		{HeaderEventType, e.Type, nil},
		{HeaderEventVersion, e.Version, nil},
		{HeaderSourceService, e.Service, nil},
		{HeaderTraceID, e.TraceID, trace},
		{HeaderStage, e.Stage, nil},
		{HeaderTimestamp, at, nil},
	} {
		switch {
		case h.value == "" && h.otherwise != nil:
			list = append(list, kgo.RecordHeader{Key: h.name, Value: h.otherwise})
		case h.value == "":
		case !readable(h.value):
			return nil, unreadable(h.name, h.value)
		case h.name == HeaderTraceID && isZero(h.value):
			return nil, fmt.Errorf("%w: trace id %q means none", ErrUnreadable, h.value)
		default:
			list = append(list, text(h.name, h.value))
		}
	}
	return list, nil
}

const stampFormat = "2006-01-02T15:04:05.000000Z"

// stamp writes the first time that is not zero, or now.
func stamp(times ...time.Time) (string, error) {
	at := time.Now()
	for i := len(times) - 1; i >= 0; i-- {
		if !times[i].IsZero() {
			at = times[i]
		}
	}
	at = at.UTC()
	if at.Year() < 1 || at.Year() > 9999 {
		return "", fmt.Errorf("%w: a time in the year %d", ErrUnreadable, at.Year())
	}
	return at.Format(stampFormat), nil
}

// newID is a random UUID (RFC 9562, version 4).
func newID() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// readable tells text that Annals reads as it stands: it trims white space and
// takes off a pair of quotes.
func readable(value string) bool {
	return printable([]byte(value)) && strings.TrimSpace(value) == value && len(unquoted([]byte(value))) == len(value)
}

// printable tells what can be an id at all.
func printable(value []byte) bool {
	if len(value) == 0 || len(value) > MaxValueBytes || !utf8.Valid(value) {
		return false
	}
	blank := true
	for _, c := range string(value) {
		if c < 0x20 || c == 0x7f || c >= utf8.RuneSelf && !unicode.IsGraphic(c) {
			return false
		}
		blank = blank && unicode.IsSpace(c)
	}
	return !blank
}
