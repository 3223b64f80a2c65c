package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// The shape of what is searched: traces of ten hops in a chain, over ten topics
// of four partitions, within ninety days.
const (
	hops       = 10
	partitions = 4
	batch      = 100_000 // records of one insert
	kept       = 4096    // traces that are asked for, of all stages alike
)

var began = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

const span = 90 * 24 * time.Hour

// sample is a trace that can be asked for.
type sample struct {
	trace string
	event string // of its last hop
	at    int64  // milliseconds since the Unix epoch
}

// loaded is what is in the index.
type loaded struct {
	records int64
	random  *rand.Rand
	next    map[[2]int32]int64 // offset, by topic and partition
	seq     map[[2]int32]int64
	samples []sample
}

func topicID(topic int32) schema.TopicID { return schema.TopicID{0xbe, byte(topic), 1} }

// id writes random bytes as hex.
func (l *loaded) id(size int) string {
	raw := make([]byte, size)
	for i := range raw {
		raw[i] = byte(l.random.Uint32())
	}
	return hex.EncodeToString(raw)
}

// load indexes and seals records, through the code that an archiver uses, until
// there are so many, and waits until ClickHouse has merged what it wants to.
func (b *bench) load(ctx context.Context, records int64) error {
	l := &b.loaded
	if l.random == nil {
		l.random, l.next, l.seq = rand.New(rand.NewPCG(1, 2)), map[[2]int32]int64{}, map[[2]int32]int64{}
	}
	total := records / batch * batch
	for l.records < total {
		rows := make([]index.Row, 0, batch)
		first := map[[2]int32]int64{}
		for len(rows) < batch {
			rows = l.flow(rows, first)
		}
		if err := b.index.InsertRecords(ctx, rows, began); err != nil {
			return err
		}
		if err := b.index.InsertSegments(ctx, l.sealed(first)); err != nil {
			return err
		}
		if l.records += int64(len(rows)); l.records%(10*batch) == 0 {
			fmt.Fprintf(os.Stderr, "%d million records loaded\n", l.records/1_000_000)
		}
	}
	return measure.Await(ctx, 10*time.Minute, time.Second, func() (bool, error) {
		n, err := measure.Count(ctx, b.up.ClickHouse, "SELECT count() FROM system.merges")
		return n == 0, err
	})
}

// flow adds one trace.
func (l *loaded) flow(rows []index.Row, first map[[2]int32]int64) []index.Row {
	trace, correlation, cause := l.id(16), l.id(16), ""
	at := began.Add(time.Duration(l.random.Int64N(int64(span)))).UnixMilli()
	for hop := range int32(hops) {
		partition := int32(l.random.IntN(partitions))
		key := [2]int32{hop, partition}
		if _, seen := first[key]; !seen {
			first[key] = l.next[key]
		}
		x := &schema.Extraction{
			EventID: l.id(16), EventType: fmt.Sprintf("Event%dV%d", hop, l.random.IntN(3)), EventVersion: "1", SourceService: fmt.Sprintf("service-%d", hop),
			TraceID: trace, SpanID: l.id(8), Identifiers: []schema.Identifier{{Kind: schema.IDCorrelation, ID: correlation}},
		}
		if cause != "" {
			x.Causes = []schema.Cause{{Kind: schema.CauseEvent, ID: cause}}
		}
		cause = x.EventID
		rows = append(rows, index.Row{Extraction: x, Record: &schema.Record{
			Topic: topicName(hop), TopicID: topicID(hop), Partition: partition, Offset: l.next[key],
			Timestamp: at + int64(hop)*20, Status: schema.Committed, ProducerID: -1, ProducerEpoch: -1, Value: []byte("{}"),
		}})
		l.next[key]++
	}
	one := sample{trace, cause, at}
	if n := l.next[[2]int32{0, 0}]; len(l.samples) < kept {
		l.samples = append(l.samples, one)
	} else if l.random.Int64N(n*partitions) < kept { // of all traces alike
		l.samples[l.random.IntN(kept)] = one
	}
	return rows
}

func topicName(topic int32) string { return fmt.Sprintf("bench.step-%d", topic) }

// sealed gives the segments rows of what was added since first.
func (l *loaded) sealed(first map[[2]int32]int64) []index.SegmentRow {
	var list []index.SegmentRow
	for key, base := range first {
		l.seq[key]++
		n := l.next[key] - base
		list = append(list, index.SegmentRow{
			Stream: schema.Stream{Cluster: "bench", Topic: topicName(key[0]), TopicID: topicID(key[0]), Partition: key[1]},
			Kind:   schema.KindSegment, Seq: l.seq[key], Base: base, Next: l.next[key], Key: fmt.Sprintf("bench/%d/%d/%d", key[0], key[1], base),
			Version: index.Fresh, Records: schema.Counts{Committed: n}, MinTimestamp: began.UnixMilli(), MaxTimestamp: began.Add(span).UnixMilli(),
			HighWatermark: -1, SealedAt: began,
		})
	}
	return list
}
