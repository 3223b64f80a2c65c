package main

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/schema"
)

// The shape of what is searched: traces of ten hops in a chain, over ten topics
// of four partitions, within ninety days, as time goes on; and a trace of ten
// thousand, of a thousand such chains, in a topic of its own.
const (
	hops       = 10
	partitions = 4
	bigTrace   = 10_000
	bigTopic   = "bench.batch"
)

var began = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

const span = 90 * 24 * time.Hour

// maker makes records, in the order in which a broker would have them.
type maker struct {
	random *rand.Rand
	next   map[schema.Stream]int64 // offsets
	made   int64
	salt   byte // of topic IDs
}

func newMaker(salt byte) *maker {
	return &maker{random: rand.New(rand.NewPCG(1, uint64(salt))), next: map[schema.Stream]int64{}, salt: salt}
}

func topicName(hop int) string { return fmt.Sprintf("bench.step-%d", hop) }

func (m *maker) id(size int) string {
	raw := make([]byte, size)
	for i := range raw {
		raw[i] = byte(m.random.Uint32())
	}
	return hex.EncodeToString(raw)
}

// correlation is the id that a trace's records share besides: as random as the
// trace's, and known of the copies too, which SQL makes.
func correlation(trace string) string {
	text := []byte(trace)
	slices.Reverse(text)
	return string(text)
}

// chain adds the records of one chain of hops, all of one topic if that is named.
func (m *maker) chain(list []schema.Record, trace, topic string, at time.Time) []schema.Record {
	cause := ""
	for hop := range hops {
		s := schema.Stream{Cluster: "bench", Topic: topic, Partition: int32(m.random.IntN(partitions))}
		s.TopicID = schema.TopicID{0xbe, m.salt, hops}
		if topic == "" {
			s.Topic, s.TopicID[2] = topicName(hop), byte(hop)
		}
		event, span := m.id(16), m.id(8)
		order := measure.Order(m.made, 1)
		r := schema.Record{
			Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition, Offset: m.next[s], LeaderEpoch: 1, ProducerID: -1, ProducerEpoch: -1,
			Status: schema.Committed, Timestamp: at.UnixMilli() + int64(hop)*20, Key: order.Key, Value: order.Value,
		}
		header := func(name, value string) {
			r.Headers = append(r.Headers, schema.Header{Name: name, Value: []byte(value)})
		}
		header("traceparent", "00-"+trace+"-"+span+"-01")
		header("event-id", event)
		header("correlation-id", correlation(trace))
		header("event-timestamp", time.UnixMilli(r.Timestamp).UTC().Format("2006-01-02T15:04:05.000Z"))
		if cause != "" {
			header("causation-id", cause)
		}
		service := fmt.Sprintf("service-%d", hop)
		if m.made%rareEvery == 0 {
			service = rareService
		}
		header("event-type", fmt.Sprintf("Event%dV%d", hop, m.random.IntN(3)))
		header("event-version", "1")
		header("source-service", service)
		list = append(list, r)
		cause = event
		m.next[s]++
		m.made++
	}
	return list
}

// rareService sends one record in so many.
const (
	rareService = "service-rare"
	rareEvery   = 20_011
)

// history gives so many records of traces that begin one after the other within
// a time, after those of the big trace.
func (m *maker) history(n int64, within time.Duration, yield func([]schema.Record) error) error {
	big := m.id(16)
	var list []schema.Record
	for chains := range bigTrace / hops {
		list = m.chain(list[:0], big, bigTopic, began.Add(time.Duration(chains)*time.Millisecond))
		if err := yield(list); err != nil {
			return err
		}
	}
	for m.made < n {
		at := began.Add(time.Duration(float64(within) * float64(m.made) / float64(n)))
		list = m.chain(list[:0], m.id(16), "", at)
		if err := yield(list); err != nil {
			return err
		}
	}
	return nil
}
