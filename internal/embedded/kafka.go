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
	"strings"
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
	journal   *commitJournal // nil without a data directory

	closeOnce sync.Once
	closeErr  error
}

// StartKafka starts an embedded Kafka broker and returns once a client has
// logged in to it. Topics are not created by being asked for, as in
// production. With a data directory every produced batch is synced to disk
// before it is acknowledged, and topic IDs, the cluster ID, groups and
// transactions are found again by the next start. After an unclean stop the
// transactions it left open are ended first: a commit that was under way is
// carried out whole, its consumer offsets too, and the others are aborted.
//
// Errors: [ErrPortInUse], [ErrNotLoopback], or what the data directory says.
func StartKafka(ctx context.Context, opts KafkaOptions) (*Kafka, error) {
	k, err := startKafka(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("start embedded kafka: %w", err)
	}
	return k, nil
}

func startKafka(ctx context.Context, opts KafkaOptions) (*Kafka, error) {
	if opts.User == "" || opts.Password == "" {
		return nil, errors.New("user and password are required")
	}
	ln, err := listenLoopback(ctx, opts.Listen, maxKafkaConns)
	if err != nil {
		return nil, err
	}
	b := &brokerStart{opts: opts, log: newKafkaLog(opts.Logger)}
	if opts.DataDir != "" {
		if err := b.prepareDir(ctx); err != nil {
			return nil, errors.Join(err, ln.Close())
		}
	}
	cluster, err := b.start(ln)
	if err != nil {
		return nil, errors.Join(err, ignoreClosed(ln.Close()), b.journal.close())
	}
	k := &Kafka{cluster: cluster, addr: ln.Addr().String(), opts: opts, log: b.log, journal: b.journal}
	if k.clusterID, err = b.probe(ctx, k.addr); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// brokerStart is what it takes to start a broker on a data directory.
type brokerStart struct {
	opts    KafkaOptions
	log     *kafkaLog
	journal *commitJournal // of the broker that is to serve
}

func (b *brokerStart) start(ln net.Listener) (*kfake.Cluster, error) {
	watched := make(chan struct{}) // no request is handled before
	defer close(watched)
	kopts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.DefaultNumPartitions(1),
		kfake.EnableSASL(),
		kfake.Superuser(saslMechanism, b.opts.User, b.opts.Password),
		// A directory that exists brings its own ID and overrides this one.
		kfake.ClusterID(newClusterID()),
		kfake.WithLogger(b.log),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return heldListener{GuardKafka(ln), watched}, nil }),
	}
	if b.opts.DataDir != "" {
		kopts = append(kopts, kfake.DataDir(b.opts.DataDir), kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(kopts...)
	if err != nil {
		return nil, err
	}
	AnswerMembersInTime(cluster)
	if b.journal != nil {
		b.journal.watch(cluster)
	}
	return cluster, nil
}

// heldListener accepts nobody before until is closed.
type heldListener struct {
	net.Listener
	until <-chan struct{}
}

func (l heldListener) Accept() (net.Conn, error) {
	<-l.until
	return l.Listener.Accept()
}

// prepareDir makes the directory fit to be opened.
func (b *brokerStart) prepareDir(ctx context.Context) error {
	dir := b.opts.DataDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// kfake would prefer the SASL users of the last run to the ones given, and
	// a new password would never take effect. Users that clients created are
	// forgotten too.
	err := os.Remove(filepath.Join(dir, saslFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reset SASL users: %w", err)
	}
	if err := b.recoverTransactions(ctx); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, runningFile), nil); err != nil {
		return fmt.Errorf("note that a broker runs: %w", err)
	}
	b.journal, err = openCommitJournal(dir, b.log)
	return err
}

// probe logs in as a client would and returns the cluster's ID.
func (b *brokerStart) probe(ctx context.Context, addr string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, kafkaProbeTimeout)
	defer cancel()
	client, err := b.client(addr)
	if err != nil {
		return "", fmt.Errorf("probe broker: %w", err)
	}
	defer client.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return "", fmt.Errorf("probe broker at %s: %w", addr, err)
	}
	if resp.ClusterID == nil || *resp.ClusterID == "" {
		return "", fmt.Errorf("probe broker at %s: it has no cluster ID", addr)
	}
	return *resp.ClusterID, nil
}

func (b *brokerStart) client(addr string, opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(
		opts,
		kgo.SeedBrokers(addr),
		kgo.SASL(scram.Auth{User: b.opts.User, Pass: b.opts.Password}.AsSha256Mechanism()),
	)...)
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
		err := errors.Join(k.log.collected(), k.journal.close())
		if err == nil && k.opts.DataDir != "" { // else the next start must look
			err = os.Remove(filepath.Join(k.opts.DataDir, runningFile))
		}
		if err != nil {
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
		if strings.Contains(message, " slow ") { // of milliseconds, on a busy machine
			l.logger.Debug("embedded broker reports", "detail", message)
			return
		}
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

// release ends collect: errors are logged again.
func (l *kafkaLog) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collecting = false
	l.errs = nil
}

func (l *kafkaLog) collected() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}
