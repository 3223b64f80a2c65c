package replay

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Kafka's names of the settings that a target differs in.
const (
	cleanupPolicy   = "cleanup.policy"
	retentionTime   = "retention.ms"
	retentionBytes  = "retention.bytes"
	timestampType   = "message.timestamp.type"
	timestampBefore = "message.timestamp.before.max.ms"
	timestampAfter  = "message.timestamp.after.max.ms"
	timestampDiffer = "message.timestamp.difference.max.ms" // before Kafka 3.6
	messageBytes    = "max.message.bytes"
)

// maxRecordBytes is the largest record that the client writes, of its 100 MiB
// a request.
const maxRecordBytes = 90 << 20

// smallestBatch is the least bound on a batch that the client takes.
const smallestBatch = 512

// defaultMessageBytes is Kafka's own limit where a topic's is not known.
const defaultMessageBytes = 1_048_588

// target is one topic that a job writes into. ID and Starts are set when it
// was made ready.
type target struct {
	Source     string          `json:"source"`
	Name       string          `json:"name"`
	Partitions int32           `json:"partitions"`
	Existed    bool            `json:"existed"` // before the job
	Largest    offset          `json:"largest"` // batch of one of its records; 0: not measured yet
	ID         *schema.TopicID `json:"topic_id"`
	Starts     []offset        `json:"starts"` // the first offset that is the job's, by partition
}

// offset is an int64 that stands as a string in JSON.
type offset int64

// MarshalText implements encoding.TextMarshaler.
func (o offset) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(o), 10), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *offset) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	*o = offset(n)
	return err
}

// inspect names the targets, refuses those that may not be written, and says
// what is odd about the others.
func (s *destination) inspect(ctx context.Context, d *document, id string) ([]target, []string, error) {
	if d.File != "" {
		files, err := s.filesOf(d, id)
		return files, nil, err
	}
	live, err := s.live(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := s.cluster.MayTransact(ctx, transactionalID(id)); err != nil {
		return nil, nil, withRights(err)
	}
	var targets []target
	var notes []string
	for i := range d.Topics {
		t := &d.Topics[i]
		out := target{Source: t.Source, Name: d.targetOf(id, t), Partitions: d.spreadOf(t).partitions}
		if !schema.IsTopicName(out.Name) {
			return nil, nil, schema.InvalidField("target_prefix", "target %q is no topic name: %s", out.Name, schema.TopicNameRule)
		}
		if out.Name == s.options.PositionTopic {
			return nil, nil, schema.InvalidField("target_topics", "%s is where replays keep their positions", out.Name)
		}
		if d.Redrive == nil && slices.ContainsFunc(targets, func(o target) bool { return o.Name == out.Name }) {
			return nil, nil, schema.InvalidField("target_topics", "%s is the target of two topics, whose partitions would mix", out.Name)
		}
		there := find(live, out.Name)
		out.Existed = there != nil
		if there != nil {
			more, err := s.mayWrite(ctx, d, t, there)
			if err != nil {
				return nil, nil, err
			}
			notes = append(notes, more...)
		} else if err := s.seen(ctx, out.Name); err != nil {
			return nil, nil, err
		} else if d.Redrive != nil {
			return nil, nil, schema.Errorf(schema.NotFound, "topic %s, from which dead letters come, is not in this Kafka", out.Name)
		} else if err := s.mayCreate(ctx, d, t, out.Name); err != nil {
			return nil, nil, err
		}
		targets = append(targets, out)
	}
	return targets, notes, nil
}

func find(c kafka.Cluster, name string) *kafka.Topic {
	for i := range c.Topics {
		if c.Topics[i].Name == name && c.Topics[i].Err == nil {
			return &c.Topics[i]
		}
	}
	return nil
}

// mayWrite holds a target that exists against the request.
func (s *destination) mayWrite(ctx context.Context, d *document, t *topicPlan, there *kafka.Topic) ([]string, error) {
	isSource := there.ID == t.TopicID
	switch {
	case !d.Existing:
		return nil, schema.WithHint(schema.Errorf(schema.Conflict, "target topic %s exists", there.Name),
			"choose another target_prefix, or set allow_existing to add to it")
	case isSource && !d.Source:
		return nil, schema.WithHint(schema.Errorf(schema.Conflict, "target topic %s is the source itself", there.Name),
			"choose another target, or set allow_source: its consumers will see every record again")
	}
	if err := d.spreadOf(t).fits(there.Name, len(there.Partitions)); err != nil {
		return nil, err
	}
	if err := writable(there, "target topic"); err != nil {
		return nil, err
	}
	var notes []string
	if isSource {
		notes = append(notes, fmt.Sprintf("%s is replayed into itself: its consumers will see the records again, and so will the archive", there.Name))
	}
	config, err := s.config(ctx, there.Name)
	if err != nil {
		return append(notes, fmt.Sprintf("the configuration of %s is unknown (%v): whether it takes every record is found when they are produced", there.Name, err)), nil
	}
	more, err := fits(d, t, there.Name, config)
	return append(notes, more...), err
}

// fits holds a topic's configuration against the records that are to go in.
func fits(d *document, t *topicPlan, name string, config map[string]string) ([]string, error) {
	var notes []string
	logAppends := strings.EqualFold(config[timestampType], "LogAppendTime")
	switch {
	case logAppends && d.Timestamps == answer.TimestampsNow:
		notes = append(notes, fmt.Sprintf("target topic %s replaces timestamps by its own (%s=LogAppendTime)", name, timestampType))
	case logAppends:
		return nil, schema.WithHint(schema.Errorf(schema.Conflict, "target topic %s replaces timestamps by its own (%s=LogAppendTime)", name, timestampType),
			"choose a topic with CreateTime, or timestamps now")
	}
	if limit, ok := number(config[messageBytes]); ok {
		switch largest, _ := t.largest(d); {
		case largest > limit && d.Oversized == answer.OversizedRaise:
			notes = append(notes, fmt.Sprintf("%s of target topic %s is raised from %d to %d", messageBytes, name, limit, largest))
		case largest > limit:
			return nil, tooLarge(t, d, limit, name)
		}
		if limit < smallestBatch {
			return nil, schema.Errorf(schema.Conflict, "target topic %s takes batches of %d bytes (%s), less than the client's smallest of %d", name, limit, messageBytes, smallestBatch)
		}
	}
	now := time.Now().UnixMilli()
	first, last := t.span()
	first, last = first+d.Shift, last+d.Shift
	if d.Timestamps == answer.TimestampsNow {
		first, last = now, now
	}
	for _, key := range []string{timestampBefore, timestampDiffer} {
		if limit, ok := number(config[key]); ok && first >= 0 && first < last+1 && now-first > limit {
			return nil, schema.Errorf(schema.Conflict, "target topic %s takes no record as old as %s (%s=%d)", name, text(time.UnixMilli(first)), key, limit)
		}
	}
	if limit, ok := number(config[timestampAfter]); ok && last > now && last-now > limit {
		return nil, schema.Errorf(schema.Conflict, "target topic %s takes no record as late as %s (%s=%d)", name, text(time.UnixMilli(last)), timestampAfter, limit)
	}
	if strings.Contains(config[cleanupPolicy], "compact") {
		notes = append(notes, fmt.Sprintf("target topic %s is compacted: records with the same key will go", name))
	}
	if limit, ok := number(config[retentionTime]); ok && limit >= 0 && strings.Contains(config[cleanupPolicy], "delete") && now-first > limit {
		notes = append(notes, fmt.Sprintf("target topic %s keeps records for %s by their own time: Kafka may delete older ones at once, even before the receipt", name, time.Duration(limit)*time.Millisecond))
	}
	return notes, nil
}

func number(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

func tooLarge(t *topicPlan, d *document, limit int64, name string) error {
	size, where := t.largest(d)
	return schema.WithHint(schema.Errorf(schema.Conflict, "%s of %s takes up to %d bytes, %s takes %d at most", where, t.Source, size, name, limit),
		"raise the target's "+messageBytes+" or choose a target that does not exist")
}

// largest is the size of the largest record, if the plan is exact, and where
// it stands.
func (t *topicPlan) largest(d *document) (size int64, where string) {
	for i := range t.Streams {
		for _, s := range t.Streams[i].Segments {
			if s.Exact && s.Largest > size {
				size, where = s.Largest, fmt.Sprintf("partition %d offset %d", t.Streams[i].Partition, s.LargestAt)
			}
		}
	}
	if size > 0 && d.Provenance {
		size += provenanceBytes
	}
	return size, where
}

// span is the first and last time of a topic's records, by its segments.
func (t *topicPlan) span() (first, last int64) {
	known := false
	for i := range t.Streams {
		for _, s := range t.Streams[i].Segments {
			if !known {
				first, last, known = s.MinTimestamp, s.MaxTimestamp, true
			}
			first, last = min(first, s.MinTimestamp), max(last, s.MaxTimestamp)
		}
	}
	return first, last
}

func (s *destination) config(ctx context.Context, topic string) (map[string]string, error) {
	entries, err := s.cluster.Config(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(entries))
	for _, e := range entries {
		out[e.Key] = e.Value
	}
	return out, nil
}

// create makes a target as its source is, but such that it keeps what it is
// given. known are the settings that this cluster has.
func (s *destination) create(ctx context.Context, t *topicPlan, out *target, known map[string]string) error {
	configs, limit, err := s.settings(ctx, t, int64(out.Largest), known)
	if err != nil {
		return err
	}
	_, err = s.cluster.CreateReplicated(ctx, out.Name, out.Partitions, -1, configs)
	if n, ok := number(configs[messageBytes]); err == nil && ok && n > limit {
		s.log.Info("replay target takes larger batches than its source", "topic", out.Name, "bytes", n, "source_bytes", limit)
	}
	return err
}

// settings are those with which a target is made for batches of up to largest bytes, and
// limit is what its source takes.
func (s *destination) settings(ctx context.Context, t *topicPlan, largest int64, known map[string]string) (configs map[string]string, limit int64, err error) {
	configs = map[string]string{}
	source, err := s.sourceConfig(ctx, t)
	if err != nil {
		return nil, 0, err
	}
	limit = defaultMessageBytes
	if n, ok := number(known[messageBytes]); ok {
		limit = n
	}
	takes := limit // as it is made: what its source has from its brokers it has from its own
	for _, e := range source {
		_, has := known[e.Key]
		if e.Key == messageBytes {
			if n, ok := number(e.Value); ok {
				limit = n
			}
			if e.Dynamic && has {
				takes = limit
			}
		}
		if e.Dynamic && has && !strings.Contains(e.Key, "throttled.replicas") {
			configs[e.Key] = e.Value
		}
	}
	for key, value := range map[string]string{
		cleanupPolicy: "delete", retentionTime: "-1", retentionBytes: "-1", timestampType: "CreateTime",
		timestampBefore: "9223372036854775807", timestampAfter: "9223372036854775807", timestampDiffer: "9223372036854775807",
	} {
		if _, has := known[key]; has {
			configs[key] = value
		}
	}
	// Records that their producer compressed may be larger than the source's
	// limit when they stand alone.
	if largest > takes || takes < smallestBatch {
		configs[messageBytes] = strconv.FormatInt(max(largest, smallestBatch), 10)
	}
	return configs, limit, nil
}

// configsOf are, by topic of the plan, the settings with which its target would be made;
// nil where it is there, or no topic tells which settings the cluster has.
func (s *Service) configsOf(ctx context.Context, d *document, targets []target) ([]map[string]string, error) {
	out := make([]map[string]string, len(targets))
	if d.File != "" || d.Redrive != nil || !slices.ContainsFunc(targets, func(t target) bool { return !t.Existed && t.ID == nil }) {
		return out, nil
	}
	to, err := s.destinationOf(d)
	if err != nil {
		return nil, err
	}
	known, err := to.known(ctx)
	if err != nil || known == nil {
		return out, err
	}
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(inParallel)
	for i := range targets {
		if targets[i].Existed || targets[i].ID != nil {
			continue
		}
		group.Go(func() (err error) {
			largest, _ := d.Topics[i].largest(d)
			out[i], _, err = to.settings(reading, &d.Topics[i], largest, known)
			return err
		})
	}
	return out, group.Wait()
}

// known are the settings that topics of the cluster have, as one of them says; nil: none
// does, or they may not be read.
func (s *destination) known(ctx context.Context) (map[string]string, error) {
	live, err := s.live(ctx)
	if err != nil {
		return nil, err
	}
	asked := find(live, s.options.PositionTopic)
	for i := range live.Topics {
		if asked == nil && live.Topics[i].Err == nil && !live.Topics[i].Internal {
			asked = &live.Topics[i]
		}
	}
	if asked == nil {
		return nil, nil
	}
	config, err := s.config(ctx, asked.Name)
	if kind := schema.KindOf(err); kind == schema.Permission || kind == schema.NotFound {
		return nil, nil
	}
	return config, err
}

// sourceConfig is the newest configuration of the source that the archive
// has, else the live one's, else none: the source may be long gone.
func (s *destination) sourceConfig(ctx context.Context, t *topicPlan) ([]kafka.ConfigEntry, error) {
	var newest string
	for object, err := range s.store.List(ctx, schema.TopicConfigPrefix(t.TopicID), "") {
		if err != nil {
			return nil, err
		}
		newest = object.Key
	}
	if newest == "" {
		s.log.Info("the archive has no configuration of the replay's source", "topic", t.Source, "topic_id", t.TopicID.String())
		live, err := s.Service.cluster.Cluster(ctx)
		if err != nil {
			return nil, err
		}
		if there := find(live, t.Source); there == nil || there.ID != t.TopicID {
			return nil, nil
		}
		config, err := s.Service.cluster.Config(ctx, t.Source)
		if schema.KindOf(err) == schema.Permission {
			s.log.Info("the configuration of the replay's source may not be read", "topic", t.Source, "err", err)
			return nil, nil
		}
		return config, err
	}
	raw, _, err := s.store.Get(ctx, newest, 1<<20)
	if err != nil {
		return nil, err
	}
	var recorded struct {
		Configs []kafka.ConfigEntry `json:"configs"`
	}
	if err := json.Unmarshal(raw, &recorded); err != nil {
		return nil, schema.Errorf(schema.Corrupt, "read %s: %w", newest, err)
	}
	return recorded.Configs, nil
}

// targetsReady makes every target exist and returns them with their IDs and
// the offsets at which the job begins. It may be repeated until its result is
// kept: nothing is produced before.
func (s *destination) targetsReady(ctx context.Context, d *document, targets []target, known map[string]string) ([]target, error) {
	live, err := s.live(ctx)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(targets)
	for i := range out {
		there := find(live, out[i].Name)
		switch {
		case out[i].Existed && there == nil:
			return nil, schema.Errorf(schema.NotFound, "target topic %s was deleted", out[i].Name)
		case there == nil:
			err := s.create(ctx, &d.Topics[i], &out[i], known)
			if err != nil && schema.KindOf(err) != schema.Conflict {
				return nil, err
			}
		case out[i].Existed && d.Oversized == answer.OversizedRaise:
			if err := s.raise(ctx, &out[i]); err != nil {
				return nil, err
			}
		}
	}
	for i := range out {
		if err := s.awaitTarget(ctx, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// raise lets a target take its largest record.
func (s *destination) raise(ctx context.Context, t *target) error {
	limit, err := s.limitOf(ctx, t.Name)
	if err != nil || int64(t.Largest) <= limit {
		return err
	}
	s.log.Info("raising the limit of a replay's target", "topic", t.Name, "from", limit, "to", int64(t.Largest))
	return s.cluster.SetConfig(ctx, t.Name, messageBytes, strconv.FormatInt(int64(t.Largest), 10))
}

// A new topic's brokers are waited for at most so long and so often.
const (
	awaitTime     = 30 * time.Second
	awaitAttempts = 60
)

// awaitTarget waits until the cluster answers for every partition, and refuses
// a topic that may not be written to.
func (s *destination) awaitTarget(ctx context.Context, t *target) error {
	var why error
	pauses, deadline := retry.Between(20*time.Millisecond, time.Second), time.Now().Add(awaitTime)
	for range awaitAttempts {
		live, err := s.live(ctx)
		if err != nil {
			return err
		}
		bounds, err := s.cluster.Offsets(ctx, t.Name)
		there := find(live, t.Name)
		if err == nil {
			why = t.take(there, bounds[t.Name])
		} else {
			why = err
		}
		if why == nil {
			return writable(there, "topic")
		}
		if there == nil {
			if err := s.seen(ctx, t.Name); err != nil {
				return err
			}
		}
		if schema.KindOf(why) != schema.Unavailable || time.Now().After(deadline) {
			return why
		}
		if err := pauses.Wait(ctx); err != nil {
			return err
		}
	}
	return why
}

// take notes the ID and where the job begins. A topic that was not there
// before must be empty: it is the job's own, made by an attempt that died, or
// somebody made it meanwhile.
func (t *target) take(there *kafka.Topic, bounds map[int32]kafka.Offsets) error {
	if there == nil || len(there.Partitions) == 0 {
		return schema.Errorf(schema.Unavailable, "target topic %s is not there yet", t.Name)
	}
	if len(there.Partitions) < int(t.Partitions) || !t.Existed && len(there.Partitions) != int(t.Partitions) {
		return schema.Errorf(schema.Conflict, "target topic %s has %d partitions, the replay writes to %d", t.Name, len(there.Partitions), t.Partitions)
	}
	starts := make([]offset, len(there.Partitions))
	for _, p := range there.Partitions {
		b, ok := bounds[p]
		switch {
		case !ok || b.Err != nil || int(p) >= len(starts):
			return schema.Errorf(schema.Unavailable, "target %s/%d does not answer yet: %w", t.Name, p, cmp.Or(b.Err, errNoAnswer))
		case !t.Existed && b.HighWatermark > 0:
			return schema.Errorf(schema.Conflict, "target topic %s was made by somebody else meanwhile: partition %d ends at %d", t.Name, p, b.HighWatermark)
		}
		starts[p] = offset(b.HighWatermark)
	}
	id := there.ID
	t.ID, t.Starts = &id, starts
	return nil
}

var errNoAnswer = schema.Errorf(schema.Unavailable, "no answer")
