package demo

import (
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// deadLetter copies a record that could not be processed to its topic's dead
// letter topic: key, value and headers as they are, and after them what went
// wrong and where, under the names of Kafka Streams (KIP-1034). The record's
// time stays; when it was given up is a header.
func deadLetter(r *kgo.Record, service string, cause error) *kgo.Record {
	hs := make([]kgo.RecordHeader, 0, len(r.Headers)+8)
	hs = append(hs, r.Headers...)
	hs = append(
		hs,
		header("__streams.errors.exception", fmt.Sprintf("%T", root(cause))),
		header("__streams.errors.message", cause.Error()),
		header("__streams.errors.topic", r.Topic),
		header("__streams.errors.partition", strconv.Itoa(int(r.Partition))),
		header("__streams.errors.offset", strconv.FormatInt(r.Offset, 10)),
		header("x-source-service", service),
		header("x-attempt", "1"),
		header("x-failed-at", time.Now().UTC().Format(stampFormat)),
	)
	return &kgo.Record{Topic: deadLetters(r.Topic), Key: r.Key, Value: r.Value, Headers: hs, Timestamp: r.Timestamp}
}

// root is the innermost error, whose type says what kind of failure it was.
func root(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil {
			return err
		}
		err = inner.Unwrap()
	}
}
