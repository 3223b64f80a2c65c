package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kslog"

	"github.com/fx-risk-ai/annals/demo/ecb"
)

// Defaults of [Config].
const (
	DefaultLiveInterval = time.Second
	DefaultAbortEvery   = 20
	DefaultBatch        = 2000
)

// LiveFrom is the first day that arrives at a pace: 581 fixing days of the
// embedded history are on or after it.
var LiveFrom = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Config is what a service needs. Brokers is required.
type Config struct {
	// Brokers are the Kafka bootstrap addresses, host:port.
	Brokers []string
	// User and Password log in with SASL; an empty user: no SASL.
	User, Password string
	// Mechanism is SCRAM-SHA-256 (the default), SCRAM-SHA-512 or PLAIN.
	Mechanism string
	// TLS encrypts the connection, trusting the system's authorities.
	TLS bool

	// From and To limit the days that ecb-gateway publishes, both included;
	// zero: no limit.
	From, To time.Time
	// Years, if positive, keeps only the last years of history before [LiveFrom].
	Years int
	// NoLive leaves out the days from [LiveFrom] on.
	NoLive bool
	// LiveInterval is the time between two days from [LiveFrom] on.
	LiveInterval time.Duration
	// Again, when it delivers, has ecb-gateway publish the live days again as
	// a new run, with new trace ids, once it has published all days. Nil: never.
	Again <-chan struct{}

	// AbortEvery has risk-engine abort one in so many transactions and do it
	// again, as a service with a flaky dependency would; 0: never.
	AbortEvery int

	// Batch is how many records one transaction takes in at most; 0:
	// [DefaultBatch]. More is faster and takes more memory, some 10 KB each.
	Batch int

	// Logger receives JSON-like structured lines; nil discards them.
	Logger *slog.Logger
	// Progress is told how far the service is, at most once a second and when
	// it comes to rest; it must not block. Nil: nobody is told.
	Progress func(Progress)
}

// Validate says what is wrong with a configuration and what would be right.
func (c Config) Validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("no Kafka address: give at least one broker as host:port"))
	}
	if _, err := c.mechanism(); err != nil {
		errs = append(errs, err)
	}
	if !c.From.IsZero() && !c.To.IsZero() && c.To.Before(c.From) {
		errs = append(errs, fmt.Errorf("the last day (%s) is before the first (%s)", c.To.Format(time.DateOnly), c.From.Format(time.DateOnly)))
	}
	if c.Years < 0 || c.Years > 100 {
		errs = append(errs, fmt.Errorf("%d years of history: give 1 to 100, or 0 for all", c.Years))
	}
	if c.Years > 0 && !c.From.IsZero() {
		errs = append(errs, errors.New("both a first day and a number of years: give one of them"))
	}
	if c.LiveInterval < 0 {
		errs = append(errs, fmt.Errorf("the live interval (%s) is negative", c.LiveInterval))
	}
	if c.AbortEvery < 0 || c.AbortEvery == 1 {
		errs = append(errs, fmt.Errorf("abort one in %d transactions: give 0 for never, or 2 or more", c.AbortEvery))
	}
	if c.Batch < 0 || c.Batch > 100_000 {
		errs = append(errs, fmt.Errorf("%d records a transaction: give 1 to 100000, or 0 for %d", c.Batch, DefaultBatch))
	}
	return errors.Join(errs...)
}

func (c Config) mechanism() (sasl.Mechanism, error) {
	if c.User == "" {
		return nil, nil
	}
	switch c.Mechanism {
	case "", "SCRAM-SHA-256":
		return scram.Auth{User: c.User, Pass: c.Password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: c.User, Pass: c.Password}.AsSha512Mechanism(), nil
	case "PLAIN":
		return plain.Auth{User: c.User, Pass: c.Password}.AsMechanism(), nil
	default:
		return nil, fmt.Errorf("unknown SASL mechanism %q: give SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN", c.Mechanism)
	}
}

func (c Config) withDefaults() Config {
	if c.LiveInterval == 0 {
		c.LiveInterval = DefaultLiveInterval
	}
	if c.Batch == 0 {
		c.Batch = DefaultBatch
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// batchBytes is what a batch holds at most, before compression.
const batchBytes = 256 << 10

// client are the options that every client of a service has in common.
func (c Config) client(name string) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(name),
		kgo.WithLogger(kslog.New(slog.New(warnings{c.Logger.Handler()}))),
		// A fetch takes little of each partition, for two reasons: it is what
		// bounds a service's memory (one fetch is in flight and one is
		// buffered, both compressed, to a tenth or so), and it is how far one
		// partition can get ahead of another. It must be more than a batch
		// ([batchBytes]), or kfake answers with the first partition alone,
		// again and again. The limit for a whole fetch must never be what cuts
		// one short: kfake then leaves out which of its records were aborted
		// (its handler breaks out of the loop before it looks that up), and
		// they would be taken for committed ones.
		kgo.FetchMaxPartitionBytes(96 << 10),
		kgo.FetchMaxBytes(16 << 20),
		kgo.MaxConcurrentFetches(1),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	}
	mechanism, err := c.mechanism()
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	if c.TLS {
		opts = append(opts, kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	return opts, nil
}

// producer are the options of a transactional producer.
func producer(name string) []kgo.Opt {
	return []kgo.Opt{
		kgo.TransactionalID(name),
		kgo.TransactionTimeout(30 * time.Second),
		kgo.ProducerBatchCompression(kgo.SnappyCompression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(batchBytes),
		kgo.ProducerLinger(5 * time.Millisecond),
		kgo.MaxBufferedRecords(20_000),
		kgo.RecordPartitioner(partitioner()),
	}
}

// days splits a history into what is published at full speed and what arrives
// at a pace.
func (c Config) days(h *ecb.History) (history, live []ecb.Day) {
	from := c.From
	if c.Years > 0 {
		from = LiveFrom.AddDate(-c.Years, 0, 0)
	}
	for _, d := range h.Days {
		switch {
		case d.Date.Before(from) || !c.To.IsZero() && d.Date.After(c.To):
		case d.Date.Before(LiveFrom):
			history = append(history, d)
		case !c.NoLive:
			live = append(live, d)
		}
	}
	return history, live
}

// warnings passes on what a person should see of a Kafka client's own log.
type warnings struct{ slog.Handler }

func (h warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

func (h warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{h.Handler.WithAttrs(a)} }
func (h warnings) WithGroup(g string) slog.Handler      { return warnings{h.Handler.WithGroup(g)} }
