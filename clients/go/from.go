package annals

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The headers that this package writes. Values are text.
const (
	HeaderEventID         = "eventId"
	HeaderEventType       = "eventType"
	HeaderEventVersion    = "eventVersion"
	HeaderSourceService   = "sourceService"
	HeaderTraceID         = "traceId"
	HeaderTimestamp       = "timestamp" // RFC 3339, UTC, microseconds
	HeaderStage           = "x-lineage-stage"
	HeaderCausationID     = "causationId"     // one for each input that has an event id
	HeaderSourceTopic     = "x-src-topic"     // these three once for each input
	HeaderSourcePartition = "x-src-partition" // decimal
	HeaderSourceOffset    = "x-src-offset"    // decimal
)

// Bounds of what Annals reads of one record.
const (
	MaxInputs  = 512  // each may give two causes, of which 1,024 are read
	MaxHeaders = 4096 // of a record, whoever wrote them
)

// ErrUnreadable tells that Annals would not read what was to be written.
var ErrUnreadable = errors.New("annals would not read it")

// Inputs are the consumed records that a produced one was made of.
type Inputs []*kgo.Record

// From takes the consumed records that the next one is made of: one, the whole
// of a join, or none where a service begins something.
func From(consumed ...*kgo.Record) Inputs { return consumed }

// To writes the contract and the causes onto a record that is about to be
// produced. What came with headers that a service forwards speaks of another
// record and is replaced: headers of the names above, in any spelling, and those
// by which Annals would read an id, cause, service or time, if an input has them
// with the same value. All others stay, in their order. An error wraps ErrUnreadable, and the record is as it was.
func (inputs Inputs) To(record *kgo.Record, event Event) error {
	if len(inputs) > MaxInputs {
		return fmt.Errorf("%w: %d inputs, at most %d", ErrUnreadable, len(inputs), MaxInputs)
	}
	for _, in := range inputs {
		if in == nil || in.Topic == "" || in.Partition < 0 || in.Offset < 0 {
			return fmt.Errorf("%w: an input without topic, partition and offset was not consumed", ErrUnreadable)
		}
	}
	headers := slices.DeleteFunc(slices.Clone(record.Headers), inputs.replaced)
	contract, err := event.headers(headers, record.Timestamp, inputs.traceID())
	if err != nil {
		return err
	}
	headers = append(append(headers, contract...), inputs.headers()...)
	if len(headers) > MaxHeaders {
		return fmt.Errorf("%w: %d headers, at most %d", ErrUnreadable, len(headers), MaxHeaders)
	}
	record.Headers = headers
	return nil
}

// replaced tells headers that To takes off a record.
func (inputs Inputs) replaced(h kgo.RecordHeader) bool {
	name := fold(h.Key)
	if written[name] {
		return true
	}
	return (eventNames[name] > 0 || causeNames[name] || serviceNames[name] || timeNames[name]) && slices.ContainsFunc(inputs, func(in *kgo.Record) bool {
		return slices.ContainsFunc(in.Headers, func(of kgo.RecordHeader) bool {
			return fold(of.Key) == name && bytes.Equal(of.Value, h.Value)
		})
	})
}

// headers names each input once: by its event id, where its headers have one,
// and by its coordinates, which it always has. The id outlives a copy to
// another cluster, the coordinates a producer that writes no ids.
func (inputs Inputs) headers() []kgo.RecordHeader {
	type place struct {
		topic     string
		partition int32
		offset    int64
	}
	seen := make(map[place]bool, len(inputs))
	var list []kgo.RecordHeader
	for _, in := range inputs {
		at := place{in.Topic, in.Partition, in.Offset}
		if seen[at] {
			continue
		}
		seen[at] = true
		if id := eventID(read(in)); id != nil {
			list = append(list, kgo.RecordHeader{Key: HeaderCausationID, Value: id})
		}
		list = append(list,
			text(HeaderSourceTopic, in.Topic),
			text(HeaderSourcePartition, strconv.Itoa(int(in.Partition))),
			text(HeaderSourceOffset, strconv.FormatInt(in.Offset, 10)))
	}
	return list
}

func text(name, value string) kgo.RecordHeader {
	return kgo.RecordHeader{Key: name, Value: []byte(value)}
}
