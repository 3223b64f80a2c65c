package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/schema"
)

// Message is a record to be sent, and nothing that a record has from a broker.
type Message struct {
	Key, Value []byte
	Headers    []schema.Header
}

// Sender writes messages to one topic, one by one and idempotently (KIP-98): a
// message is not written twice by what the client repeats. Whoever sends it
// again after an error may write it again. It may be used by many goroutines.
type Sender struct {
	client *kgo.Client
	topic  string
}

// sendTimeout bounds one Send: what the client repeats, with pauses of its
// own, happens within it.
const sendTimeout = 30 * time.Second

// NewSender checks the options; nothing is dialled yet. The topic is not made.
func NewSender(options Options, topic string) (*Sender, error) {
	client, err := options.client(
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0),
		kgo.RecordDeliveryTimeout(sendTimeout), kgo.UnknownTopicRetries(2),
	)
	if err != nil {
		return nil, err
	}
	return &Sender{client: client, topic: topic}, nil
}

// Send returns when all in-sync replicas have the message. Errors are as of
// Producer; they take at most 30 s to come.
func (s *Sender) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	r := &kgo.Record{Topic: s.topic, Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
	}
	if err := s.client.ProduceSync(ctx, r).FirstErr(); err != nil {
		return produceError("send to "+s.topic, err)
	}
	return nil
}

// Close lets go of the brokers.
func (s *Sender) Close() { s.client.Close() }
