package schema

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
)

// DeadLetterFormat is the version of DeadLetter.
const DeadLetterFormat = "annals.dead-letter/1"

// DeadLettersPrefix is the folder of all dead letters.
const DeadLettersPrefix = "jobs/dead-letters/"

// MaxDeadLetterBytes bounds one dead letter.
const MaxDeadLetterBytes = 64 << 10

// DeadLetterComponent is what could not process something.
type DeadLetterComponent string

// The components.
const (
	// LetterReading: what Kafka served cannot be read, or not be archived; Raw
	// has the bytes, and a gap of class unreadable names them.
	LetterReading DeadLetterComponent = "reading"
	// LetterExtraction: the record is archived, its contract fields are not
	// extracted: the rules failed on it.
	LetterExtraction DeadLetterComponent = "extraction"
	// LetterIndex: the record is archived, and the index refuses its row.
	LetterIndex DeadLetterComponent = "index"
)

// Known tells whether this version understands the component.
func (c DeadLetterComponent) Known() bool {
	return c == LetterReading || c == LetterExtraction || c == LetterIndex
}

// DeadLetter says what could not be processed, where it stands and why. What it
// is about is archived all the same: rows where the offsets are rows, else Raw.
// From and To bound the offsets, To exclusive. First and Last are the writers'
// clocks, RFC 3339 with nanoseconds, UTC; Error is that of the last attempt.
type DeadLetter struct {
	Format    string              `json:"format"`
	Component DeadLetterComponent `json:"component"`
	Cluster   string              `json:"cluster"`
	Topic     string              `json:"topic"`
	TopicID   TopicID             `json:"topic_id"`
	Partition int32               `json:"partition"`
	Branch    int32               `json:"branch"`
	From      int64               `json:"from,string"`
	To        int64               `json:"to,string"`
	Error     string              `json:"error"`
	Attempts  int64               `json:"attempts,string"`
	First     string              `json:"first"`
	Last      string              `json:"last"`
	TraceID   *string             `json:"trace_id"` // where it is known
	EventID   *string             `json:"event_id"`
	Raw       *ObjectRef          `json:"raw"` // the bytes as fetched; null: key, value and headers are in the segment of the offset
	Writer    string              `json:"writer"`
	Build     string              `json:"build"`
}

// Stream returns the stream that the letter is about.
func (l *DeadLetter) Stream() Stream {
	return Stream{Cluster: l.Cluster, Topic: l.Topic, TopicID: l.TopicID, Partition: l.Partition}
}

// ID names what failed, not how often: the same failure has the same ID, so
// that writing it again is harmless.
func (l *DeadLetter) ID() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d/%d/%d/%d/%s", l.Cluster, l.TopicID, l.Partition, l.Branch, l.From, l.To, l.Component))
	return Digest(sum).String()[:16]
}

// Key is where the letter is kept.
func (l *DeadLetter) Key() string {
	return fmt.Sprintf("%s%s/%s/%s/%05d/%020d-%s-%s.json", DeadLettersPrefix, l.Cluster, EscapeTopic(l.Topic), l.TopicID, l.Partition,
		l.From, l.Component, l.ID())
}

// Encode gives the letter's bytes.
func (l *DeadLetter) Encode() ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("encode dead letter: %w", err)
	}
	raw, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode dead letter: %w", err)
	}
	if len(raw) > MaxDeadLetterBytes {
		return nil, Errorf(Exhausted, "encode dead letter: %d bytes, at most %d", len(raw), MaxDeadLetterBytes)
	}
	return raw, nil
}

// ParseDeadLetter reads what Encode wrote. The error is Corrupt.
func ParseDeadLetter(raw []byte) (*DeadLetter, error) {
	var l DeadLetter
	if err := DecodeStrictly(raw, &l); err != nil {
		return nil, Newer(raw, Errorf(Corrupt, "parse dead letter: %v", err), DeadLetterFormat)
	}
	return &l, l.check()
}

func (l *DeadLetter) check() error {
	if err := CheckFormat(l.Format, DeadLetterFormat); err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	switch {
	case !l.Component.Known():
		return Errorf(Corrupt, "dead letter: unknown component %q", l.Component)
	case l.Cluster == "" || l.Topic == "" || l.TopicID.IsZero() || l.Partition < 0 || l.From < 0 || l.To <= l.From || l.Attempts < 1:
		return Errorf(Corrupt, "dead letter: cluster, topic, topic ID, partition, range or attempts are missing")
	case (l.Component == LetterReading) != (l.Raw != nil):
		return Errorf(Corrupt, "dead letter: raw bytes belong to component reading and to no other")
	}
	return nil
}

// ParseDeadLetterKey reads the topic and the component of a letter's key.
func ParseDeadLetterKey(key string) (topic string, component DeadLetterComponent, ok bool) {
	parts := strings.Split(strings.TrimPrefix(key, DeadLettersPrefix), "/")
	if !strings.HasPrefix(key, DeadLettersPrefix) || len(parts) != 5 {
		return "", "", false
	}
	topic, ok = unescapeTopic(parts[1])
	name := strings.Split(parts[4], "-")
	if !ok || len(name) != 3 || !strings.HasSuffix(name[2], ".json") {
		return "", "", false
	}
	component = DeadLetterComponent(name[1])
	return topic, component, component.Known()
}

// unescapeTopic undoes EscapeTopic.
func unescapeTopic(text string) (string, bool) {
	var b strings.Builder
	for rest := text; rest != ""; {
		if rest[0] != '%' {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		var c byte
		if len(rest) < 3 {
			return "", false
		}
		if n, err := fmt.Sscanf(rest[1:3], "%02X", &c); n != 1 || err != nil {
			return "", false
		}
		b.WriteByte(c)
		rest = rest[3:]
	}
	return b.String(), EscapeTopic(b.String()) == text
}
