package index

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/fx-risk-ai/annals/schema"
)

// MaxRetention bounds Options.Retention: ClickHouse counts a TTL in 32 bits of
// seconds since 1970, and record times are believed up to 2040.
const MaxRetention = 60 * 365 * 24 * time.Hour

// Options say how to reach ClickHouse over HTTP and how tables are made.
type Options struct {
	Addr     string // host:port of the HTTP interface
	Database string // created by Migrate if it is not there
	User     string
	Password string
	TLS      *tls.Config // nil: plain HTTP

	// Partition is "months" (default) or "years": the width of a table
	// partition, taken when the tables are created and kept from then on.
	Partition string
	// Retention is how long rows stay, by record time; 0: for ever.
	Retention time.Duration
	// MergeIdle is how long a table partition must have taken no rows until
	// its parts are merged into one; 0: ClickHouse merges by its own measure,
	// which leaves several. A look-up by id opens every part, so this halves
	// what it costs, for one more writing of the partition each time.
	MergeIdle time.Duration
	// Given says which of the three were asked for. What was not counts for new
	// tables only: those that are there keep what they were made with, or a
	// process that was told nothing would drop the rows of years.
	Given struct{ Partition, Retention, MergeIdle bool }

	// DialContext replaces the network, for simulations; nil: the real one.
	DialContext func(ctx context.Context, addr string) (net.Conn, error)
	Logger      *slog.Logger // nil: nothing is logged
}

// Index is the archive's index in ClickHouse. It is safe for concurrent use.
type Index struct {
	options Options
	period  atomic.Pointer[Period] // Migrate may change it while others insert
	reads   driver.Conn
	turns   *turns // of reads
	writes  driver.Conn
	logger  *slog.Logger
	blocks  chan *block // kept for the next insert
	// clusters are those of topic IDs that this process has named commits of.
	clusters struct {
		sync.Mutex
		of map[schema.TopicID]string
	}
	natives chan *native
	// squeezed: blocks go compressed (compressionFor).
	squeezed bool
}

var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// Limits of every read. A search that would take longer says so instead of
// holding one of ClickHouse's few sessions.
const (
	readTimeout  = 20 * time.Second
	readMemory   = 512 << 20
	openWrites   = 3
	dialTimeout  = 5 * time.Second
	writeTimeout = 2 * time.Minute
)

// Open checks the options and makes the client. It does not connect: an index
// that is down must not keep an archiver from starting. Call Migrate before
// the first insert or read.
func Open(options Options) (*Index, error) {
	period, err := parsePeriod(options.Partition)
	if err != nil {
		return nil, err
	}
	if options.Addr == "" {
		return nil, schema.Errorf(schema.Invalid, "open index: no address")
	}
	if !databaseName.MatchString(options.Database) {
		return nil, schema.Errorf(schema.Invalid, "open index: database %q: want a letter or underscore, then up to 62 letters, digits or underscores", options.Database)
	}
	if options.Retention < 0 || options.Retention > MaxRetention || options.Retention%time.Second != 0 {
		return nil, schema.Errorf(schema.Invalid, "open index: retention %v: want whole seconds, 0 (for ever) to %v", options.Retention, MaxRetention)
	}
	if options.MergeIdle < 0 || options.MergeIdle%time.Second != 0 {
		return nil, schema.Errorf(schema.Invalid, "open index: merge idle %v: want whole seconds, 0 for ClickHouse's own measure", options.MergeIdle)
	}
	logger := options.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	x := &Index{options: options, logger: logger, blocks: make(chan *block, keptBlocks), natives: make(chan *native, openWrites), turns: newTurns(openReads, bulkReads, waitingReads)}
	x.squeezed = compressionFor(options.Addr) != clickhouse.CompressionNone
	x.period.Store(&period)
	// Reads take turns, so they need not wait for a connection: those that are left
	// over are for Ping, and while others close.
	if x.reads, err = x.connect(options.Database, openReads+spareReads, readTimeout, clickhouse.Settings{
		"max_execution_time": int(readTimeout / time.Second),
		"max_memory_usage":   readMemory,
	}); err != nil {
		return nil, err
	}
	if x.writes, err = x.connect(options.Database, openWrites, writeTimeout, clickhouse.Settings{
		// Servers that replicate drop a block that they have taken before, though
		// its rows were deleted since: a reindex that is run again sends the same.
		"insert_deduplicate": 0,
	}); err != nil {
		return nil, err
	}
	return x, nil
}

func (x *Index) connect(database string, open int, timeout time.Duration, settings clickhouse.Settings) (driver.Conn, error) {
	dial := x.options.DialContext
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
		}
	}
	// The client's own DialTimeout is for all that a connection takes, the server's
	// first answer too: were it not longer, it would hide that nothing was reached.
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol:     clickhouse.HTTP,
		Addr:         []string{x.options.Addr},
		Auth:         clickhouse.Auth{Database: database, Username: x.options.User, Password: x.options.Password},
		TLS:          x.options.TLS,
		DialContext:  dial,
		Settings:     settings,
		DialTimeout:  2 * dialTimeout,
		ReadTimeout:  timeout + dialTimeout,
		MaxOpenConns: open,
		MaxIdleConns: open,
		Compression:  &clickhouse.Compression{Method: compressionFor(x.options.Addr)},
		ClientInfo:   clickhouse.ClientInfo{Products: []struct{ Name, Version string }{{Name: "annals", Version: "1"}}},
	})
	if err != nil {
		return nil, fmt.Errorf("open index client: %w", err)
	}
	return conn, nil
}

// compressionFor sends plain blocks over loopback, where bytes cost less than
// compressing them, and LZ4 over a network.
func compressionFor(addr string) clickhouse.CompressionMethod {
	host, _, err := net.SplitHostPort(addr)
	if err == nil {
		if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
			return clickhouse.CompressionNone
		}
	}
	return clickhouse.CompressionLZ4
}

// Ping asks ClickHouse whether it answers. Unavailable if not.
func (x *Index) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return fault("ping index", x.reads.Ping(ctx))
}

// Close lets idle connections go. Calls under way end with an error.
func (x *Index) Close() error {
	if err := x.reads.Close(); err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	if err := x.writes.Close(); err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	return nil
}
