package forecast

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// Broker lists topics and their bounds. kafka.Admin is one.
type Broker interface {
	Cluster(ctx context.Context) (kafka.Cluster, error)
	Offsets(ctx context.Context, topics ...string) (map[string]map[int32]kafka.Offsets, error)
}

// Reader reads a few records. kafka.Reader is one.
type Reader interface {
	Range(ctx context.Context, s schema.Stream, from, to int64, isolation kafka.Isolation) iter.Seq2[*schema.Record, error]
}

// Index knows what is archived already. index.Index is one.
type Index interface {
	Footprint(ctx context.Context) (index.Footprint, error)
	TopicSizes(ctx context.Context) (map[schema.TopicID]index.TopicSize, error)
}

// What is assumed where nothing can be measured. The index's figures are the
// demo's, whose records carry nine ids each.
const (
	AssumedBytes       = 300  // a record
	AssumedHeaders     = 4    // of a record
	AssumedCompression = 0.25 // JSON, with zstd; the demo's four topics have 0.14 to 0.17
	AssumedIndexRows   = 13
	AssumedIndexBytes  = 350
)

// How much is sampled of topics that are not archived yet.
const (
	sampleRecords = 50
	sampleTopics  = 32
	sampleTime    = 5 * time.Second // of one topic
)

// leastRecords is from how many archived records on their ratios count.
const leastRecords = 100

// Surveyed is what was measured. Notes say, a line each, where the figures are
// from and what was assumed.
type Surveyed struct {
	Loads                 []Load
	IndexRows, IndexBytes float64
	Interval              time.Duration
	Moved                 int64 // offsets, over all partitions
	Notes                 []string
}

// survey is one under way.
type survey struct {
	Surveyed
	broker Broker
	reader Reader
	topics []kafka.Topic
	sizes  map[schema.TopicID]index.TopicSize
}

// Survey measures the topics that archived chooses: the high watermarks twice,
// an interval apart; bytes a record and compression from what is archived of
// each, else by a sample of its newest records, else assumed. An index that
// does not answer is no error, but a note.
func Survey(ctx context.Context, broker Broker, reader Reader, x Index, archived func(string) bool, interval time.Duration) (Surveyed, error) {
	v := &survey{broker: broker, reader: reader}
	cluster, err := broker.Cluster(ctx)
	if err != nil {
		return v.Surveyed, err
	}
	var names []string
	for _, t := range cluster.Topics {
		if !t.Internal && t.Err == nil && archived(t.Name) {
			v.topics, names = append(v.topics, t), append(names, t.Name)
		}
	}
	if len(names) == 0 {
		return v.Surveyed, schema.WithHint(schema.Errorf(schema.NotFound, "no topic is to be archived"), "see kafka.topics, and what annals doctor says of kafka/topics")
	}
	before, after, err := v.watch(ctx, names, interval)
	if err != nil {
		return v.Surveyed, err
	}
	v.known(ctx, x)
	v.load(ctx, before, after)
	return v.Surveyed, nil
}

// watch takes the watermarks twice.
func (v *survey) watch(ctx context.Context, names []string, interval time.Duration) (before, after map[string]map[int32]kafka.Offsets, err error) {
	begin := time.Now()
	if before, err = v.broker.Offsets(ctx, names...); err != nil {
		return nil, nil, err
	}
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, nil, schema.Errorf(schema.Unavailable, "measure rates: %w", ctx.Err())
	}
	after, err = v.broker.Offsets(ctx, names...)
	v.Interval = time.Since(begin)
	return before, after, err
}

// known asks the index what is archived already.
func (v *survey) known(ctx context.Context, x Index) {
	v.IndexRows, v.IndexBytes = AssumedIndexRows, AssumedIndexBytes
	foot, err := x.Footprint(ctx)
	if err == nil {
		v.sizes, err = x.TopicSizes(ctx)
	}
	switch {
	case err != nil:
		v.note("The index does not answer, so its rows (%d) and bytes (%d) a record are assumed: %v", AssumedIndexRows, AssumedIndexBytes, err)
	case foot.Records < leastRecords:
		v.note("The index holds %d records, so its rows (%d) and bytes (%d) a record are assumed.", foot.Records, AssumedIndexRows, AssumedIndexBytes)
	default:
		v.IndexRows, v.IndexBytes = float64(foot.Rows)/float64(foot.Records), float64(foot.Bytes)/float64(foot.Records)
		v.note("The index takes %.1f rows and %.0f bytes a record, as its %d records do.", v.IndexRows, v.IndexBytes, foot.Records)
	}
}

// load puts rates and sizes together.
func (v *survey) load(ctx context.Context, before, after map[string]map[int32]kafka.Offsets) {
	silent := 0
	var fromArchive, sampled, assumed []float64
	for _, t := range v.topics {
		bytes, headers, compression := float64(AssumedBytes), float64(AssumedHeaders), AssumedCompression
		if size := v.sizes[t.ID]; size.CountedRecords >= leastRecords && size.Records > 0 && size.RawBytes > 0 {
			bytes = float64(size.RawBytes) / float64(size.CountedRecords)
			// Of what was stored, the fixed part of each segment is not the records'.
			stored := float64(size.StoredBytes-size.Segments*SegmentBytes) / float64(size.Records)
			compression = min(1, max(0.01, stored/bytes))
			fromArchive = append(fromArchive, compression)
		} else if mean, each, ok := v.sample(ctx, t, after[t.Name], len(sampled)); ok {
			bytes, headers = mean, each
			sampled = append(sampled, mean)
		} else {
			assumed = append(assumed, AssumedBytes)
		}
		for _, partition := range t.Partitions {
			was, known := before[t.Name][partition]
			is, still := after[t.Name][partition]
			if !known || !still || was.Err != nil || is.Err != nil {
				silent++
				continue
			}
			moved := max(0, is.HighWatermark-was.HighWatermark)
			v.Moved += moved
			v.Loads = append(v.Loads, Load{
				Topic: t.Name, Partition: partition, RecordsPerSecond: float64(moved) / v.Interval.Seconds(),
				BytesPerRecord: bytes, Overhead: RowOverhead + HeaderOverhead*headers, Compression: compression,
			})
		}
	}
	if n := len(fromArchive); n > 0 {
		v.note("Bytes a record and compression (%.2f on average) of %d topics are those of their archived segments; %d headers a record are assumed, for what they take in memory.", mean(fromArchive), n, AssumedHeaders)
	}
	if n := len(sampled); n > 0 {
		v.note("Bytes a record of %d topics (%.0f on average) are sampled: at most %d newest records of one partition each; their compression is assumed, %.2f.", n, mean(sampled), sampleRecords, AssumedCompression)
	}
	if n := len(assumed); n > 0 {
		v.note("Of %d topics nothing could be read, or more than %d were to be sampled: %d bytes a record and compression %.2f are assumed.", n, sampleTopics, AssumedBytes, AssumedCompression)
	}
	if silent > 0 {
		v.note("%d partitions did not tell their offsets and are left out.", silent)
	}
}

// sample reads the newest records of a topic's fullest partition.
func (v *survey) sample(ctx context.Context, t kafka.Topic, bounds map[int32]kafka.Offsets, already int) (meanBytes, meanHeaders float64, ok bool) {
	fullest, most := int32(-1), int64(0)
	for partition, b := range bounds {
		if held := b.HighWatermark - b.LogStart; b.Err == nil && held > most {
			fullest, most = partition, held
		}
	}
	if fullest < 0 || already >= sampleTopics {
		return 0, 0, false
	}
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	end := bounds[fullest].HighWatermark
	stream := schema.Stream{Topic: t.Name, TopicID: t.ID, Partition: fullest}
	n, bytes, headers := 0, int64(0), 0
	for r, err := range v.reader.Range(ctx, stream, end-min(most, sampleRecords), end, kafka.ReadUncommitted) {
		if err != nil {
			break // compacted away, or slow: what came counts
		}
		if r.Status != schema.Control {
			n, bytes, headers = n+1, bytes+r.Bytes(), headers+len(r.Headers)
		}
	}
	count := float64(max(1, n))
	return float64(bytes) / count, float64(headers) / count, n > 0
}

func (v *survey) note(format string, args ...any) {
	v.Notes = append(v.Notes, fmt.Sprintf(format, args...))
}

func mean(of []float64) float64 {
	sum := 0.0
	for _, x := range of {
		sum += x
	}
	return sum / float64(len(of))
}
