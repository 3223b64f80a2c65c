package archiver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/internal/kafka"
)

// metrics are the archiver's collectors of the process as a whole; those of
// its partitions are in series.
type metrics struct {
	records     prometheus.Counter
	bytes       prometheus.Counter
	segments    *prometheus.CounterVec
	sealSeconds prometheus.Histogram
	retries     prometheus.Counter
	indexRows   *prometheus.CounterVec
	indexTime   prometheus.Histogram
	waits       *prometheus.CounterVec
	joins       *prometheus.CounterVec
	joined      prometheus.Counter
	joinedBytes prometheus.Counter
	collected   *prometheus.CounterVec
	freed       *prometheus.CounterVec
	guards      *prometheus.CounterVec
	unreadable  prometheus.Counter
	violations  *prometheus.CounterVec

	spoolWritten  prometheus.Counter
	spoolFull     prometheus.Counter
	spoolFailures prometheus.Counter
	spoolDamaged  prometheus.Counter
	spoolRead     *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		records: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "annals_archiver_records_total", Help: "Records taken from Kafka, control records included.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "annals_archiver_bytes_total", Help: "Bytes of keys, values and headers taken from Kafka.",
		}),
		segments: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_archiver_commits_total", Help: "Commits written, by the reason for the cut.",
		}, []string{"reason"}),
		sealSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "annals_archiver_seal_seconds", Help: "Time from the cut to the commit.", Buckets: prometheus.ExponentialBuckets(0.005, 2.5, 10),
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "annals_archiver_retries_total", Help: "Store calls that failed while sealing and were repeated.",
		}),
		indexRows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_archiver_index_rows_total", Help: "Fresh records offered to the index, by outcome.",
		}, []string{"outcome"}),
		indexTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "annals_archiver_index_seconds", Help: "Time of one insert of fresh records.", Buckets: prometheus.ExponentialBuckets(0.005, 2.5, 10),
		}),
		waits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_archiver_backpressure_total", Help: "Polls held back, by what they waited for.",
		}, []string{"for"}),
		joins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_archiver_compactions_total", Help: "Compactions tried, by outcome.",
		}, []string{"outcome"}),
		joined: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "annals_archiver_compacted_segments_total", Help: "Segments that compactions put out of use.",
		}),
		joinedBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "annals_archiver_compacted_bytes_total", Help: "Bytes of the segments that compactions put out of use.",
		}),
		collected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_archiver_collected_objects_total", Help: "Objects deleted, by why: replaced, orphan, job.",
		}, []string{"why"}),
		freed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_archiver_collected_bytes_total", Help: "Bytes of the objects deleted, by why.",
		}, []string{"why"}),
		guards: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_archiver_guards_total", Help: "Partitions held against their archive, by what was found.",
		}, []string{"outcome"}),
	}
	m.unreadable = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "annals_archiver_unreadable_offsets_total", Help: "Offsets that could not be read or archived; their raw bytes are kept.",
	})
	m.violations = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "annals_archiver_contract_violations_total", Help: "Sealed records that break a rule, by event type where a contract of it is registered, and by the rule without its place.",
	}, []string{"event_type", "rule"})
	m.ofSpool()
	return m
}

// register hands the collectors over. Whoever scrapes may ask them at once, so the
// archiver is whole by then.
func (m *metrics) register(a *Archiver, registerer prometheus.Registerer) {
	registerer.MustRegister(m.spoolWritten, m.spoolFull, m.spoolFailures, m.spoolDamaged, m.spoolRead,
		a.gauge("annals_archiver_spool_bytes", "Bytes of the spool's files.", a.spoolUsed),
		a.gauge("annals_archiver_spool_budget_bytes", "The budget of the spool's files; 0: there is no spool.", func() float64 { return float64(a.options.Spool.Bytes) }),
	)
	registerer.MustRegister(m.unreadable, m.violations, a.letters.counted, m.records, m.bytes, m.segments, m.sealSeconds, m.retries, m.indexRows, m.indexTime, m.waits, m.guards,
		m.joins, m.joined, m.joinedBytes, m.collected, m.freed,
		a.gauge("annals_archiver_buffered_bytes", "Bytes of buffered records, of gaps, and of what was read ahead of transactions.", func() float64 { return float64(a.held) }),
		a.gauge("annals_archiver_budget_bytes", "The budget of buffered bytes.", func() float64 { return float64(a.options.Memory) }),
		a.gauge("annals_archiver_partitions", "Partitions read by this process.", func() float64 { return float64(len(a.partitions)) }),
		a.gauge("annals_archiver_outside_group_seconds", "How long this process is no member of its consumer group, and so reads nothing; 0: it is one.", a.outside),
		a.gauge("annals_archiver_doubted_partitions", "Partitions that are not read until it is known whether their archive is a prefix of the log.", a.doubted),
		a.gauge("annals_archiver_unproven_partitions", "Partitions whose newest archived record could not be held against the log; they are read on.", a.unproven),
		a.gauge("annals_archiver_stopped_partitions", "Partitions that are not archived any further until they are assigned again.", a.stopped),
		a.gauge("annals_archiver_unjoined_segments", "Segments that compaction passes over because the store does not give them as they were committed.", a.unjoined),
		a.gauge("annals_archiver_waiting_partitions", "Partitions that are set aside until an open transaction ends.", a.waiting),
		a.gauge("annals_archiver_unread_records", "Offsets between the high watermarks and what was taken in.", a.unread),
		a.gauge("annals_archiver_unsealed_records", "Records taken in and not in the ledger yet.", a.unsealed),
		newSeries(a, a.options.Series),
	)
}

// ofSpool makes the collectors of the spool.
func (m *metrics) ofSpool() {
	m.spoolWritten = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "annals_archiver_spool_written_bytes_total", Help: "Bytes written to the spool, compressed.",
	})
	m.spoolFull = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "annals_archiver_spool_full_total", Help: "Times that the spool's budget left no room, and buffers stayed in memory.",
	})
	m.spoolFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "annals_archiver_spool_failures_total", Help: "Times that the spool's disk refused; buffers stayed in memory.",
	})
	m.spoolDamaged = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "annals_archiver_spool_damaged_total", Help: "Times that spooled records could not be read back, and were read from Kafka again.",
	})
	m.spoolRead = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "annals_archiver_spool_read_bytes_total", Help: "Bytes read back from the spool, compressed, by what for: segment, index.",
	}, []string{"for"})
}

func (a *Archiver) spoolUsed() float64 {
	if a.spool.disk == nil {
		return 0
	}
	return float64(a.spool.disk.Used())
}

// gauge reads a value under the archiver's mutex.
func (a *Archiver) gauge(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
		a.mu.Lock()
		defer a.mu.Unlock()
		return value()
	})
}

func (a *Archiver) unread() float64 {
	var n int64
	for _, p := range a.partitions {
		n += max(p.marks.end()-p.expected, 0)
	}
	return float64(n)
}

func (a *Archiver) stopped() float64 {
	return a.count(func(p *partition) bool { return p.stopped != "" })
}

func (a *Archiver) unjoined() float64 {
	n := 0
	for _, p := range a.partitions {
		n += p.unjoined
	}
	return float64(n)
}

func (a *Archiver) waiting() float64 {
	return a.count(func(p *partition) bool { return p.aside })
}

func (a *Archiver) doubted() float64 {
	return a.count(func(p *partition) bool { return p.guard != passed })
}

func (a *Archiver) unproven() float64 {
	return a.count(func(p *partition) bool { return p.unknown != "" })
}

func (a *Archiver) count(is func(*partition) bool) float64 {
	n := 0
	for _, p := range a.partitions {
		if is(p) {
			n++
		}
	}
	return float64(n)
}

func (a *Archiver) unsealed() float64 {
	n := 0
	for _, p := range a.partitions {
		n += p.count()
	}
	return float64(n)
}

func (m *metrics) took(b *kafka.Batch) (bytes int64) {
	m.records.Add(float64(len(b.Records)))
	var n int64
	for i := range b.Records {
		n += b.Records[i].Bytes()
	}
	m.bytes.Add(float64(n))
	return n
}

func (m *metrics) sealed(reason string, took time.Duration) {
	m.segments.WithLabelValues(reason).Inc()
	m.sealSeconds.Observe(took.Seconds())
}

func (m *metrics) indexed(rows int, took time.Duration, err error) {
	outcome := "inserted"
	if err != nil {
		outcome = "failed"
	}
	m.indexRows.WithLabelValues(outcome).Add(float64(rows))
	m.indexTime.Observe(took.Seconds())
}

func (m *metrics) held(full bool) {
	reason := "index"
	if full {
		reason = "budget"
	}
	m.waits.WithLabelValues(reason).Inc()
}
