package embedded

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const (
	// maxKafkaConns bounds the connections the embedded broker serves at a
	// time; more wait in the kernel's backlog.
	maxKafkaConns = 1024
	// kafkaProbeTimeout bounds the check that a started broker answers.
	kafkaProbeTimeout = 30 * time.Second
	// saslFile is where kfake keeps SASL users in its data directory.
	saslFile = "sasl.json"
)

// KafkaOptions configure [StartKafka].
type KafkaOptions struct {
	// Listen is the loopback address to listen on, "127.0.0.1:19092", or
	// "127.0.0.1:0" for a free port. It is also what the broker advertises.
	Listen string
	// DataDir holds topics, records, groups and transactions. Empty: memory
	// only, nothing survives Close.
	DataDir string
	// User and Password are the only SASL credentials (SCRAM-SHA-256).
	User, Password string
	// Logger takes the broker's messages; nil discards them.
	Logger *slog.Logger
}

// Kafka is a running embedded broker, one node that leads every partition.
// All methods may be called concurrently.
type Kafka struct {
	cluster   *kfake.Cluster
	addr      string
	clusterID string
	opts      KafkaOptions
	log       *kafkaLog

	closeOnce sync.Once
	closeErr  error
}

// StartKafka starts an embedded Kafka broker and returns once a client has
// logged in to it. Topics are not created by being asked for, as in
// production. With a data directory every produced batch is synced to disk
// before it is acknowledged, and topic IDs, the cluster ID, groups and
// transactions are found again by the next start.
//
// Errors: [ErrPortInUse], [ErrNotLoopback], or what the data directory says.
func StartKafka(ctx context.Context, opts KafkaOptions) (_ *Kafka, err error) {
	if opts.User == "" || opts.Password == "" {
		return nil, errors.New("start embedded kafka: user and password are required")
	}
	ln, err := listenLoopback(ctx, opts.Listen, maxKafkaConns)
	if err != nil {
		return nil, fmt.Errorf("start embedded kafka: %w", err)
	}
	log := newKafkaLog(opts.Logger)
	kopts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.DefaultNumPartitions(1),
		kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-256", opts.User, opts.Password),
		// A directory that exists brings its own ID and overrides this one.
		kfake.ClusterID(newClusterID()),
		kfake.WithLogger(log),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return guardKafka(ln), nil }),
	}
	if opts.DataDir != "" {
		if err := prepareKafkaDir(opts.DataDir); err != nil {
			return nil, errors.Join(fmt.Errorf("start embedded kafka: %w", err), ln.Close())
		}
		kopts = append(kopts, kfake.DataDir(opts.DataDir), kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(kopts...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded kafka: %w", err), ignoreClosed(ln.Close()))
	}
	k := &Kafka{cluster: cluster, addr: ln.Addr().String(), opts: opts, log: log}
	if k.clusterID, err = k.probe(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded kafka: %w", err), k.Close())
	}
	return k, nil
}

// prepareKafkaDir makes the directory and forgets the SASL users of the last
// run: kfake would prefer them to the ones given, and a new password would
// never take effect. Users that clients created are forgotten too.
func prepareKafkaDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(dir, saslFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reset SASL users: %w", err)
	}
	return nil
}

// probe logs in as a client would and returns the cluster's ID.
func (k *Kafka) probe(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, kafkaProbeTimeout)
	defer cancel()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(k.addr),
		kgo.SASL(scram.Auth{User: k.opts.User, Pass: k.opts.Password}.AsSha256Mechanism()),
	)
	if err != nil {
		return "", fmt.Errorf("probe broker: %w", err)
	}
	defer client.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return "", fmt.Errorf("probe broker at %s: %w", k.addr, err)
	}
	if resp.ClusterID == nil || *resp.ClusterID == "" {
		return "", fmt.Errorf("probe broker at %s: it has no cluster ID", k.addr)
	}
	return *resp.ClusterID, nil
}

// Addr is the broker's address, host:port. It is the bootstrap address too.
func (k *Kafka) Addr() string { return k.addr }

// ClusterID is the cluster's ID: 22 characters, made once per data directory.
func (k *Kafka) ClusterID() string { return k.clusterID }

// User and Password are what a client logs in with, by SCRAM-SHA-256.
func (k *Kafka) User() string { return k.opts.User }

// Password belongs to [Kafka.User].
func (k *Kafka) Password() string { return k.opts.Password }

// Cluster gives tests what no client can do: faults, leader moves, compaction
// at a moment of their choosing. The program itself never uses it.
func (k *Kafka) Cluster() *kfake.Cluster { return k.cluster }

// Close stops the broker, cuts its connections and, with a data directory,
// writes its state. It returns what could not be written.
func (k *Kafka) Close() error {
	k.closeOnce.Do(func() {
		k.log.collect()
		k.cluster.Close()
		if err := k.log.collected(); err != nil {
			k.closeErr = fmt.Errorf("close embedded kafka: %w", err)
		}
	})
	return k.closeErr
}

// newClusterID is made as Kafka makes it: 16 random bytes, base64url.
func newClusterID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see newSecret
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// kafkaLog hands kfake's messages to slog. kfake reports a failed save at
// close only through its log, so errors can be collected for a while.
type kafkaLog struct {
	logger *slog.Logger

	mu         sync.Mutex
	collecting bool
	errs       []error
}

func newKafkaLog(logger *slog.Logger) *kafkaLog {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &kafkaLog{logger: logger.With("engine", "kafka")}
}

// Logf implements [kfake.Logger].
func (l *kafkaLog) Logf(level kfake.LogLevel, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	switch level {
	case kfake.LogLevelError:
		l.mu.Lock()
		collecting := l.collecting
		if collecting {
			l.errs = append(l.errs, errors.New(message))
		}
		l.mu.Unlock()
		if !collecting { // what is returned is not logged as well
			l.logger.Error("embedded broker failed", "detail", message)
		}
	case kfake.LogLevelWarn:
		l.logger.Warn("embedded broker warns", "detail", message)
	default: // kfake tells of single requests at its info level
		l.logger.Debug("embedded broker reports", "detail", message)
	}
}

func (l *kafkaLog) collect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collecting = true
}

func (l *kafkaLog) collected() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}
