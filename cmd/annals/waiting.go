package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
)

// How often a person who waits is told for what: soon at first, then less and
// less often.
const (
	firstWord  = 3 * time.Second
	longestGap = 20 * time.Second
)

// waiting says what is waited for as long as do runs.
func waiting(in *invocation, a *archiver.Archiver, do func() error) error {
	done := make(chan struct{})
	said := make(chan struct{})
	go func() {
		defer close(said)
		for gap := firstWord; ; gap = min(2*gap, longestGap) {
			select {
			case <-done:
				return
			case <-time.After(gap):
				line(in.err, "waiting: "+describe(a.Backlog()))
			}
		}
	}()
	err := do()
	close(done)
	<-said
	return err
}

// line writes a line over one that the demo has not ended.
func line(w io.Writer, text string) {
	if isTerminal(w) {
		text = "\r\x1b[K" + text
	}
	fmt.Fprintln(w, text)
}

func describe(b archiver.Backlog) string {
	if b.Partitions == 0 {
		return "Kafka's consumer group has not given out the partitions yet; after an unclean stop it waits for the member that is gone"
	}
	var parts []string
	add := func(n int64, text string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf(text, n))
		}
	}
	add(int64(b.Opening), "%d partitions to be compared with what is archived")
	add(b.Behind, "%d records to be read from Kafka")
	add(b.Unsealed, "%d offsets to be sealed")
	add(int64(b.Comparing), "the index of %d partitions to be compared with the archive")
	if len(parts) == 0 {
		return "the index takes the last records"
	}
	return strings.Join(parts, ", ")
}

// recovered checks, after an unclean stop, until everything is as it should be,
// and says so.
func recovered(ctx context.Context, in *invocation, a *archiver.Archiver) {
	err := waiting(in, a, func() error {
		if err := a.CatchUp(ctx); err != nil {
			return err
		}
		return a.Indexed(ctx)
	})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		line(in.err, "not recovered yet: "+err.Error())
	default:
		line(in.err, "recovered: what Kafka holds was read, and the index has what is archived")
	}
}
