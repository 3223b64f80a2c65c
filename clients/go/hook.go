package annals

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Hook completes every record that a client produces: an event id, the service
// and a timestamp, where the record has none. Causes are To's: a hook cannot
// know them.
type Hook struct{ service string }

var _ kgo.HookProduceRecordBuffered = Hook{}

// NewHook makes the hook of a program that calls itself service; an error wraps
// ErrUnreadable.
//
//	hook, err := annals.NewHook("pricing")
//	…
//	client, err := kgo.NewClient(kgo.WithHooks(hook), …)
func NewHook(service string) (Hook, error) {
	if !readable(service) {
		return Hook{}, unreadable(HeaderSourceService, service)
	}
	return Hook{service: service}, nil
}

// OnProduceRecordBuffered is called by franz-go, before it writes the record. A
// record that is produced again keeps its event id: it is the same event.
func (h Hook) OnProduceRecordBuffered(record *kgo.Record) {
	at, err := stamp(record.Timestamp)
	if err != nil {
		at, _ = stamp() // now: Kafka has no such year either
	}
	var added []kgo.RecordHeader
	missing := func(is func(folded string) bool, name, value string) {
		if !slices.ContainsFunc(record.Headers, func(there kgo.RecordHeader) bool { return is(fold(there.Key)) }) {
			added = append(added, text(name, value))
		}
	}
	missing(func(name string) bool { return eventNames[name] > 0 }, HeaderEventID, newID())
	missing(func(name string) bool { return serviceNames[name] }, HeaderSourceService, h.service)
	missing(func(name string) bool { return timeNames[name] }, HeaderTimestamp, at)
	// Clipped, since the record may share its headers with one that was consumed.
	record.Headers = append(slices.Clip(record.Headers), added...)
}
