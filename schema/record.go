package schema

import (
	"encoding/base64"
	"fmt"
)

// TopicID is Kafka's topic ID (KIP-516). A topic that is deleted and created
// again under the same name has another ID and is another stream.
type TopicID [16]byte

// String gives Kafka's own text form: 22 characters of unpadded base64url.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// IsZero tells the ID that brokers before KIP-516 report. It is never a key.
func (id TopicID) IsZero() bool { return id == TopicID{} }

// MarshalText implements encoding.TextMarshaler.
func (id TopicID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *TopicID) UnmarshalText(text []byte) error {
	parsed, err := ParseTopicID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// ParseTopicID reads the form that TopicID.String writes. It refuses the zero
// ID and every spelling that is not the canonical one.
func ParseTopicID(text string) (TopicID, error) {
	var id TopicID
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return id, Errorf(Invalid, "parse topic ID %q: want 22 characters of base64url", text)
	}
	copy(id[:], raw)
	if id.IsZero() {
		return id, Errorf(Invalid, "parse topic ID %q: the zero ID names no topic", text)
	}
	return id, nil
}

// Stream is one partition of one incarnation of a topic: the unit that has a
// ledger chain. Topic is carried for people; (Cluster, TopicID, Partition) is
// its identity.
type Stream struct {
	Cluster   string
	Topic     string
	TopicID   TopicID
	Partition int32
}

// String names the stream for logs and errors.
func (s Stream) String() string {
	return fmt.Sprintf("%s/%d (%s)", s.Topic, s.Partition, s.TopicID)
}

// Key is what the stream's records carry of it.
func (s Stream) Key() StreamKey { return StreamKey{s.TopicID, s.Partition} }

// StreamKey names a stream within one cluster. Two clusters may have the same one,
// where one was copied from the other.
type StreamKey struct {
	TopicID   TopicID
	Partition int32
}

// Position is the identity of a record, for ever: offsets can be reused after
// an unclean leader election, on the next branch.
type Position struct {
	TopicID   TopicID
	Partition int32
	Branch    int32
	Offset    int64
}

// Status is Annals' verdict on an offset that Kafka served.
type Status uint8

// The verdicts. Undecided never reaches a segment or the index.
const (
	Undecided Status = iota // transactional, its control record not seen yet
	Committed               // what a read-committed consumer gets
	Aborted                 // belongs to an aborted transaction
	Control                 // a transaction marker
)

var statusNames = [...]string{"undecided", "committed", "aborted", "control"}

// String gives the word used in segments, the index and the API.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// ParseStatus reads what Status.String writes.
func ParseStatus(text string) (Status, error) {
	for i, name := range statusNames {
		if text == name {
			return Status(i), nil
		}
	}
	return Undecided, Errorf(Invalid, "parse status %q: want committed, aborted or control", text)
}

// TimestampType tells who set a record's timestamp (KIP-32).
type TimestampType int8

// The timestamp types as Kafka numbers them.
const (
	NoTimestamp   TimestampType = -1
	CreateTime    TimestampType = 0
	LogAppendTime TimestampType = 1
)

var timestampTypeNames = map[TimestampType]string{
	NoTimestamp: "none", CreateTime: "create_time", LogAppendTime: "log_append_time",
}

// String gives the word used in the API and exports.
func (t TimestampType) String() string {
	if name, ok := timestampTypeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("timestamp_type(%d)", int8(t))
}

// Header is one record header. Name holds exact bytes, which need not be
// UTF-8. A nil Value is null, which is not the empty value.
type Header struct {
	Name  string
	Value []byte
}

// Record is one offset as Kafka served it, byte for byte. A nil Key or Value
// is null, which is not the empty value. Headers keep order and duplicates.
//
// Timestamp is in milliseconds since the Unix epoch, unclamped. ProducerID and
// ProducerEpoch are -1 where the producer had none.
type Record struct {
	Topic         string
	TopicID       TopicID
	Partition     int32
	Branch        int32
	Offset        int64
	LeaderEpoch   int32
	Timestamp     int64
	TimestampType TimestampType
	ProducerID    int64
	ProducerEpoch int16
	Status        Status
	Key           []byte
	Value         []byte
	Headers       []Header
}

// Position returns the record's identity.
func (r *Record) Position() Position {
	return Position{TopicID: r.TopicID, Partition: r.Partition, Branch: r.Branch, Offset: r.Offset}
}

// Bytes is the size of what the producer sent: key, value and headers.
func (r *Record) Bytes() int64 {
	n := int64(len(r.Key)) + int64(len(r.Value))
	for i := range r.Headers {
		n += int64(len(r.Headers[i].Name)) + int64(len(r.Headers[i].Value))
	}
	return n
}
