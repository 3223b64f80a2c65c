package archiver

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// The metrics that have a topic and a partition. Nothing is counted a record:
// totals are kept a batch, a cut or a commit, and the rest is read from the
// partitions when somebody scrapes. A partition that is no longer ours has no
// series any more.

// DefaultSeries is how many topic-partitions have series of their own unless
// Options says otherwise.
const DefaultSeries = 2000

// together stands for a topic, or a partition, of which several share a series.
// It is no character of a topic's name.
const together = "*"

var (
	cutReasons = [...]string{cutBytes, cutAge, cutMaxAge, cutBudget, cutAsked, cutRevoked, cutGone}
	gapClasses = [...]schema.GapClass{
		schema.GapBeforeGenesis, schema.GapBeforeLogStart, schema.GapCleaned, schema.GapUnreadable, schema.GapUnexplained,
	}
)

// tally counts what was done with a partition since it is ours. It outlives
// its buffer. Guarded by the Archiver's mutex.
type tally struct {
	records, bytes int64 // read
	sealed         int64 // bytes of segments
	retries        int64
	contractErrors int64 // records
	commits        [len(cutReasons)]int64
	gaps           [len(gapClasses)]int64 // offsets
}

func (t *tally) add(o *tally) {
	t.records += o.records
	t.bytes += o.bytes
	t.sealed += o.sealed
	t.retries += o.retries
	t.contractErrors += o.contractErrors
	for i := range t.commits {
		t.commits[i] += o.commits[i]
	}
	for i := range t.gaps {
		t.gaps[i] += o.gaps[i]
	}
}

// reading is what one partition, or several together, look like now.
type reading struct {
	topic     string
	partition int32
	shared    bool // several partitions
	tally
	behind, sealedAt, freshAt, end, buffered int64
	age, openFor                             time.Duration
	share, waited                            float64 // see retentionShare
	shareKnown                               bool
	placed                                   bool // its chain is known: unlike one that could not be opened
}

func (p *partition) reading(now time.Time) reading {
	r := reading{
		topic: p.stream.Topic, partition: p.stream.Partition, tally: *p.tally, buffered: p.bytes,
		placed: !p.stream.TopicID.IsZero(),
	}
	if !r.placed {
		return r
	}
	r.behind, r.sealedAt, r.freshAt, r.end = p.lagRecords(), p.head.Next, p.fedTo(), p.marks.end()
	r.age = p.lagTime(now)
	r.share, r.waited, r.shareKnown = p.retentionShare(now)
	if !p.blockedSince.IsZero() {
		r.openFor = now.Sub(p.blockedSince)
	}
	return r
}

// join puts another partition into the reading: offsets and totals are summed,
// of ages and shares the worst counts.
func (r *reading) join(o *reading) {
	r.tally.add(&o.tally)
	r.behind += o.behind
	r.sealedAt += o.sealedAt
	r.freshAt += o.freshAt
	r.end += o.end
	r.buffered += o.buffered
	r.age = max(r.age, o.age)
	r.openFor = max(r.openFor, o.openFor)
	r.share, r.waited = max(r.share, o.share), max(r.waited, o.waited)
	r.shareKnown = r.shareKnown || o.shareKnown
	r.placed = r.placed || o.placed
}

// readings reads every partition under the mutex.
func (a *Archiver) readings() []reading {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]reading, 0, len(a.partitions))
	for _, p := range a.partitions {
		list = append(list, p.reading(now))
	}
	return list
}

// bounded joins readings until at most limit are left, and tells how many
// partitions have none of their own then. As many topics as possible keep
// theirs, those with the fewest partitions first; with more topics than limit,
// the last ones by name share one reading. past gives what was counted of a
// topic's partitions that are no longer ours, so that totals do not fall.
func bounded(list []reading, limit int, past func(topic string) tally) (shown []reading, hidden int) {
	if len(list) <= limit {
		return list, 0
	}
	topics := map[string][]reading{}
	for _, r := range list {
		topics[r.topic] = append(topics[r.topic], r)
	}
	names := make([]string, 0, len(topics))
	for name := range topics {
		names = append(names, name)
	}
	slices.Sort(names)
	rest := names[:0:0]
	if len(names) > limit {
		names, rest = names[:limit-1], names[limit-1:]
	}
	slices.SortStableFunc(names, func(x, y string) int { return cmp.Compare(len(topics[x]), len(topics[y])) })
	room := limit - len(names) - min(len(rest), 1)
	for _, name := range names {
		of := topics[name]
		if len(of)-1 <= room {
			shown = append(shown, of...)
			room -= len(of) - 1
			continue
		}
		hidden += len(of)
		shown = append(shown, joined(name, of, past))
	}
	if len(rest) > 0 {
		var all []reading
		for _, name := range rest {
			hidden += len(topics[name])
			all = append(all, joined(name, topics[name], past))
		}
		shown = append(shown, joined(together, all, func(string) tally { return past("") }))
	}
	return shown, hidden
}

func joined(name string, list []reading, past func(topic string) tally) reading {
	r := reading{topic: name, shared: true, tally: past(name)}
	for i := range list {
		r.join(&list[i])
	}
	return r
}

// bury keeps what was counted of a partition that is dropped. The topic's sum
// is kept while another of its partitions is ours, then all topics' sum is.
// Needs mu.
func (a *Archiver) bury(p *partition) {
	topic := p.stream.Topic
	sum := a.past[topic]
	sum.add(p.tally)
	delete(a.past, topic)
	for key, other := range a.partitions {
		if other != p && key.Topic == topic {
			a.past[topic] = sum
			return
		}
	}
	rest := a.past[""]
	rest.add(&sum)
	a.past[""] = rest
}

// series is the collector of the metrics of partitions.
type series struct {
	a     *Archiver
	limit int

	lag, seconds, share, sealed, fresh, end, open, buffered *prometheus.Desc
	records, bytes, stored, retries, contract               *prometheus.Desc
	commits, gaps                                           *prometheus.Desc
	allGaps, hidden, troubles, blind                        *prometheus.Desc
}

func newSeries(a *Archiver, limit int) *series {
	if limit <= 0 {
		limit = DefaultSeries
	}
	desc := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc("annals_archiver_"+name, help, append([]string{"topic", "partition"}, more...), nil)
	}
	whole := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("annals_archiver_"+name, help, labels, nil)
	}
	return &series{
		a: a, limit: limit,
		lag:      desc("lag_records", "Offsets that Kafka holds and the ledger does not."),
		seconds:  desc("lag_seconds", "For how long the oldest of them has been in Kafka."),
		share:    desc("lag_retention_ratio", "How near the oldest of them is to being deleted by Kafka's retention: at 1 it may be. 0: nothing waits, or nothing is deleted. Left out while the topic's configuration is not known."),
		sealed:   desc("sealed_offset", "The offset behind the last one in the ledger."),
		fresh:    desc("fresh_offset", "The offset behind the last one that was handed to the index."),
		end:      desc("high_watermark", "The end of the partition in Kafka, as last seen."),
		open:     desc("open_transaction_seconds", "How long the oldest undecided record has waited for the end of its transaction; 0: none waits."),
		buffered: desc("partition_buffered_bytes", "Bytes of records that are buffered, overhead included."),
		records:  desc("partition_records_total", "Records taken from Kafka, control records included."),
		bytes:    desc("partition_bytes_total", "Bytes of keys, values and headers taken from Kafka."),
		stored:   desc("partition_sealed_bytes_total", "Bytes of the segments that were committed."),
		retries:  desc("partition_retries_total", "Store calls that failed while sealing and were repeated."),
		contract: desc("partition_contract_errors_total", "Sealed records with missing or malformed contract fields."),
		commits:  desc("partition_commits_total", "Commits written, by the reason for the cut. Reasons that did not occur are left out.", "reason"),
		gaps:     desc("partition_gap_offsets_total", "Offsets committed as gaps, by class. Classes that did not occur are left out.", "class"),
		allGaps:  whole("gap_offsets_total", "Offsets of all partitions committed as gaps, by class.", "class"),
		hidden:   whole("partitions_not_shown", "Partitions of this process that share series with others, because there are more than metrics.partitions.max."),
		troubles: whole("troubles", "Things that stand in the way now, by what they come from.", "with"),
		blind:    whole("retention_unknown_partitions", "Partitions whose retention is not known, for want of DescribeConfigs: they have no lag_retention_ratio."),
	}
}

// Describe implements prometheus.Collector.
func (s *series) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		s.lag, s.seconds, s.share, s.sealed, s.fresh, s.end, s.open, s.buffered, s.records, s.bytes, s.stored, s.retries,
		s.contract, s.commits, s.gaps, s.allGaps, s.hidden, s.troubles, s.blind,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s *series) Collect(out chan<- prometheus.Metric) {
	list := s.a.readings()
	s.a.mu.Lock()
	past := make(map[string]tally, len(s.a.past))
	for topic, t := range s.a.past {
		past[topic] = t
	}
	s.a.mu.Unlock()
	all, blind := past[""], 0
	for topic, t := range past {
		if topic != "" {
			all.add(&t)
		}
	}
	for i := range list {
		all.add(&list[i].tally)
		if list[i].placed && !list[i].shareKnown {
			blind++
		}
	}
	shown, hidden := bounded(list, s.limit, func(topic string) tally { return past[topic] })
	for i := range shown {
		s.collect(out, &shown[i])
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for i, class := range gapClasses {
		out <- prometheus.MustNewConstMetric(s.allGaps, prometheus.CounterValue, float64(all.gaps[i]), string(class))
	}
	gauge(s.hidden, float64(hidden))
	gauge(s.blind, float64(blind))
	for with, n := range s.a.inTheWay() {
		gauge(s.troubles, float64(n), string(with))
	}
}

func (s *series) collect(out chan<- prometheus.Metric, r *reading) {
	number := together
	if !r.shared {
		number = strconv.Itoa(int(r.partition))
	}
	put := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, more ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, append([]string{r.topic, number}, more...)...)
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	if r.placed {
		put(s.lag, gauge, float64(r.behind))
		put(s.seconds, gauge, r.age.Seconds())
		put(s.sealed, gauge, float64(r.sealedAt))
		put(s.fresh, gauge, float64(r.freshAt))
		put(s.end, gauge, float64(r.end))
		put(s.open, gauge, r.openFor.Seconds())
		if r.shareKnown {
			put(s.share, gauge, r.share)
		}
	}
	put(s.buffered, gauge, float64(r.buffered))
	put(s.records, counter, float64(r.records))
	put(s.bytes, counter, float64(r.bytes))
	put(s.stored, counter, float64(r.tally.sealed))
	put(s.retries, counter, float64(r.retries))
	put(s.contract, counter, float64(r.contractErrors))
	for i, reason := range cutReasons {
		if r.commits[i] > 0 {
			put(s.commits, counter, float64(r.commits[i]), reason)
		}
	}
	for i, class := range gapClasses {
		if r.gaps[i] > 0 {
			put(s.gaps, counter, float64(r.gaps[i]), string(class))
		}
	}
}

// sealedJob counts a commit that was made of a cut. Needs mu.
func (a *Archiver) sealedJob(j *job, segmentBytes int64, ours bool) {
	t := j.p.tally
	if !ours { // what was counted of it is buried already
		rest := a.past[""]
		defer func() { a.past[""] = rest }()
		t = &rest
	}
	t.sealed += segmentBytes
	t.contractErrors += j.contractErrors
	for b, n := range j.broken {
		a.metrics.violations.WithLabelValues(b.kind, b.rule).Add(float64(n))
	}
	if i := slices.Index(cutReasons[:], j.reason); i >= 0 {
		t.commits[i]++
	}
	for _, g := range j.gaps {
		if i := slices.Index(gapClasses[:], g.Class); i >= 0 {
			t.gaps[i] += g.To - g.From
		}
	}
}

// took counts a batch. Needs mu.
func (t *tally) took(b *kafka.Batch, bytes int64) {
	t.records += int64(len(b.Records))
	t.bytes += bytes
}
