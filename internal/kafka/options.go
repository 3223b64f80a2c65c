package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kslog"

	"github.com/fx-risk-ai/annals/schema"
)

// SASL says how to authenticate. The zero value does not.
type SASL struct {
	Mechanism string // "", PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER
	Username  string
	Password  string
	// Token returns the current bearer token for OAUTHBEARER (KIP-255); it is
	// asked at every connection.
	Token func(context.Context) (string, error)
}

// Options connect to one cluster.
type Options struct {
	Brokers  []string
	ClientID string
	TLS      *tls.Config // nil: no TLS
	SASL     SASL
	// MetadataMaxAge bounds how long a new topic, partition or leader stays
	// unseen; 10 s if zero.
	MetadataMaxAge time.Duration
	// Dial replaces the network, for simulation; nil dials TCP.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Logger *slog.Logger
}

func (o Options) client(extra ...kgo.Opt) (*kgo.Client, error) {
	if len(o.Brokers) == 0 {
		return nil, schema.InvalidField("kafka.brokers", "no Kafka brokers are configured")
	}
	age := o.MetadataMaxAge
	if age == 0 {
		age = 10 * time.Second
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.ClientID(o.ClientID),
		kgo.SoftwareNameAndVersion("annals", "v1"),
		kgo.MetadataMaxAge(age),
		kgo.MetadataMinAge(min(age, 250*time.Millisecond)),
		// What the client would tell the broker of itself (KIP-714) it packs with
		// 12 MiB of buffers at a time.
		kgo.DisableClientMetrics(),
	}
	if o.Logger != nil {
		options = append(options, kgo.WithLogger(kslog.New(quiet(o.Logger))))
	}
	mechanism, err := o.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		options = append(options, kgo.SASL(mechanism))
	}
	switch {
	case o.Dial != nil:
		options = append(options, kgo.Dialer(o.Dial))
	case o.TLS != nil:
		options = append(options, kgo.DialTLSConfig(o.TLS))
	}
	client, err := kgo.NewClient(append(options, extra...)...)
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "configure Kafka client: %w", err)
	}
	return client, nil
}

func (s SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Auth{User: s.Username, Pass: s.Password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.Username, Pass: s.Password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.Username, Pass: s.Password}.AsSha512Mechanism(), nil
	case "OAUTHBEARER":
		if s.Token == nil {
			return nil, schema.InvalidField("kafka.sasl", "OAUTHBEARER needs a token source")
		}
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := s.Token(ctx)
			return oauth.Auth{Token: token}, err
		}), nil
	default:
		return nil, schema.InvalidField("kafka.sasl.mechanism",
			"unknown SASL mechanism %q: want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER", s.Mechanism)
	}
}

// quiet raises the client's chatter by one level: what it calls information is
// debugging to whoever runs an archive.
func quiet(logger *slog.Logger) *slog.Logger {
	return slog.New(demote{logger.With("component", "kafka-client").Handler()})
}

type demote struct{ slog.Handler }

func (d demote) Enabled(ctx context.Context, level slog.Level) bool {
	return d.Handler.Enabled(ctx, demoted(level))
}

func (d demote) Handle(ctx context.Context, record slog.Record) error {
	record.Level = demoted(record.Level)
	return d.Handler.Handle(ctx, record)
}

func (d demote) WithAttrs(attrs []slog.Attr) slog.Handler { return demote{d.Handler.WithAttrs(attrs)} }

func (d demote) WithGroup(name string) slog.Handler { return demote{d.Handler.WithGroup(name)} }

func demoted(level slog.Level) slog.Level {
	if level >= slog.LevelWarn {
		return level
	}
	return level - 4
}

// unavailable wraps a client error for the boundary.
func unavailable(doing string, err error) error {
	return schema.Errorf(schema.Unavailable, "%s: %w", doing, err)
}

func named(topic string, partition int32) string { return fmt.Sprintf("%s/%d", topic, partition) }
