// Package annals has a franz-go producer say, on each record, what caused it:
// the contract fields, the ids of the causing events and the coordinates of the
// records that were consumed, in the headers that the page beside this module
// (clients/README.md) specifies. Annals then draws the lineage as facts instead
// of guessing it.
//
//	hook, err := annals.NewHook("pricing")
//	client, err := kgo.NewClient(kgo.WithHooks(hook), …)
//	…
//	out := &kgo.Record{Topic: "prices", Value: value}
//	if err := annals.From(order, rates).To(out, annals.Event{Type: "OrderPriced", Version: "2"}); err != nil { … }
//	client.Produce(ctx, out, nil)
//
// # What it promises
//
// What To and Hook write is read back by Annals as it was meant: what would not
// be is an error, and the record is then left as it was. The consumed records
// are only read, also where the produced record shares its headers with one.
//
// # What it does not
//
// It depends on franz-go alone, and on nothing of Annals. It writes no
// traceparent: that is the tracer's, which knows the span.
//
// # Concurrency
//
// Inputs, Event and Hook are values without state and may be shared. A record
// is written by one goroutine at a time, as franz-go has it.
//
//	from.go    From and To: causes and contract of one record
//	event.go   Event: the contract fields, and what they may hold
//	inputs.go  which of a consumed record's headers are its event id and trace
//	hook.go    Hook: what every record of a client gets
package annals
