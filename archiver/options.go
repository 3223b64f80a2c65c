package archiver

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/telemetry"
)

// Options of an archiver. Kafka, Group and Writer are required.
type Options struct {
	Kafka kafka.Options
	Tail  kafka.ConsumerOptions
	// Topics tells which topics are archived; nil: all but internal ones.
	Topics func(name string) bool
	// Named are topics that the configuration names outright: one of them that
	// the brokers do not list is asked for by name, and reported.
	Named []string
	// StartLatest begins at the high watermark of the topics that exist when
	// a cluster is archived for the first time, instead of at log start.
	StartLatest bool
	Discovery   time.Duration // how often topics are listed; 10 s if zero
	Cut         Cut
	Feed        Feed
	// Recheck tells that the engines were not stopped cleanly: of each stream,
	// the segments of the ten minutes before its newest commit are hashed and
	// indexed again, since an index that does not sync may have lost rows.
	Recheck bool
	Compact Compact
	Collect Collect
	// LetterTopic is produced each dead letter, beside its object; empty: none is.
	LetterTopic string
	// StaleLeader is how long a leader is asked again before it is believed
	// whose epoch is below that of a record that was seen: it may not know yet
	// that it was deposed. 30 s if zero.
	StaleLeader time.Duration
	// EndAfter is for how long every broker has to say that a topic is no more until
	// its chains are ended; 1 min if zero.
	EndAfter time.Duration
	// Silence is how long a partition may bring nothing until its log is asked
	// for its end; twice as long, with records there, is trouble. So old may also
	// be what the metrics know of a log that is not read. 30 s if zero.
	Silence time.Duration
	// Outside is how long this process may be no member of its group, for a reason
	// that nobody gives, until that is trouble: a rebalance takes as long as its
	// slowest member may. With a reason it is a ninth of that. 90 s if zero.
	Outside time.Duration
	// Poll is how long a poll waits for records at most, and so how often ages
	// are looked at; 200 ms if zero.
	Poll time.Duration
	// StillAfter is how long the loop, or a step of its workers, may stand still
	// until Alive says so; the constant of that name if zero.
	StillAfter time.Duration
	Memory     int64  // bytes of buffers, and of what was skimmed, in the process; 80 MiB if zero
	Spool      Spool  // where they go that this does not hold
	Writer     string // names this process in commits
	Build      string
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Series is how many topic-partitions have metrics of their own; beyond
	// that, those of a topic are taken together. DefaultSeries if zero.
	Series int
	Tracer *telemetry.Tracer // of a segment's way, from the fetch to the index; nil: nothing is traced
}
