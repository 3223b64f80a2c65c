package archiver

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// configEvery is how many listings of the topics lie between two looks at all
// of their configurations: with the default, a minute.
const configEvery = 6

// prepare asks at once for the configurations of all topics whose partitions
// are about to be opened and that are not known yet. What is left out, each
// asks for when it is opened.
func (t *topics) prepare(ctx context.Context, list []kafka.TopicPartition) {
	unknown := map[string]topic{}
	t.mu.Lock()
	for _, key := range list {
		if known, ok := t.known[key.Topic]; ok && !known.configKnown {
			unknown[key.Topic] = known
		}
	}
	t.mu.Unlock()
	if len(unknown) == 0 {
		return
	}
	found, err := t.a.admin.Configs(ctx, slices.Collect(maps.Keys(unknown))...)
	if err != nil && ctx.Err() == nil {
		t.a.log.Debug("configurations are asked for one by one", "topics", len(unknown)-len(found), "err", err)
	}
	var recording errgroup.Group
	recording.SetLimit(openers)
	for name, entries := range found {
		known := unknown[name]
		recording.Go(func() error {
			if err := t.record(ctx, name, &known, entries); err != nil {
				return err
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			if now, ok := t.known[name]; ok && now.id == known.id {
				t.known[name] = known
			}
			return nil
		})
	}
	if err := recording.Wait(); err != nil && ctx.Err() == nil {
		t.a.log.Debug("a configuration is recorded when its partitions are opened", "err", err)
	}
}

// record puts a topic's configuration into the archive and notes it in known. A
// topic that was compacted once counts as compacted: what the cleaner took stays
// away.
func (t *topics) record(ctx context.Context, name string, known *topic, entries []kafka.ConfigEntry) error {
	raw, err := json.Marshal(entries)
	if err != nil {
		return fmt.Errorf("encode configuration of topic %s: %w", name, err)
	}
	digest := schema.Digest(sha256.Sum256(raw))
	if known.config != nil && *known.config == digest {
		return nil
	}
	now := time.Now().UTC()
	seen := recordedConfig{t.cluster, name, known.id, now.Format(time.RFC3339Nano), entries}
	if err := t.note(ctx, schema.TopicConfigKey(known.id, now.UnixMilli()), seen); err != nil {
		return err
	}
	known.config, known.configKnown, known.retention = &digest, true, retentionOf(entries)
	known.compacted = known.compacted || compacts(entries)
	return nil
}

// retentionOf reads after which age and size Kafka deletes records.
func retentionOf(entries []kafka.ConfigEntry) retention {
	r := retention{known: true}
	deletes := true // the default
	for _, entry := range entries {
		n, err := strconv.ParseInt(entry.Value, 10, 64)
		switch {
		case entry.Key == "cleanup.policy":
			deletes = strings.Contains(entry.Value, "delete")
		case err != nil || n <= 0: // -1: no limit
		case entry.Key == "retention.ms":
			r.age = time.Duration(min(n, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
		case entry.Key == "retention.bytes":
			r.bytes = n
		}
	}
	if !deletes {
		r.age, r.bytes = 0, 0
	}
	return r
}

// lookAtConfigs finds out which configurations have changed. What fails is
// tried again at the next look; archiving does not wait for it.
func (t *topics) lookAtConfigs(ctx context.Context) {
	t.mu.Lock()
	var names []string
	for name, known := range t.known {
		if known.configKnown {
			names = append(names, name)
		}
	}
	t.mu.Unlock()
	if err := t.refresh(ctx, names...); err != nil && ctx.Err() == nil {
		t.a.log.Warn("changes of configurations may be unseen", "topics", len(names), "err", err)
	}
}

// refresh asks for the configuration in force of some known topics, and tells
// their partitions what changed.
func (t *topics) refresh(ctx context.Context, names ...string) error {
	asking, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	found, err := t.a.admin.Configs(asking, names...)
	errs := []error{err}
	for name, entries := range found {
		t.mu.Lock()
		known, ok := t.known[name]
		t.mu.Unlock()
		if !ok {
			continue
		}
		before := known.config
		if err := t.record(asking, name, &known, entries); err != nil {
			errs = append(errs, err)
			continue
		}
		if known.config != before {
			t.tell(name, known)
		}
	}
	return errors.Join(errs...)
}

// tell brings a topic's new configuration to its partitions.
func (t *topics) tell(name string, changed topic) {
	t.mu.Lock()
	if now, ok := t.known[name]; ok && now.id == changed.id {
		t.known[name] = changed
	}
	t.mu.Unlock()
	t.a.log.Info("topic configuration", "topic", name, "topic_id", changed.id.String(), "sha256", changed.config.String())
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	for key, p := range t.a.partitions {
		if key.Topic == name && p.stream.TopicID == changed.id {
			p.config, p.compacted = changed.config, p.compacted || changed.compacted
			p.retention = changed.retention
		}
	}
}

// explain looks once more before any offset of a cut is called unexplained. The
// topic may have become compacted since the last look, or have been compacted
// before this process looked first: what the cleaner took then is no alarm.
func (a *Archiver) explain(ctx context.Context, j *job) {
	unexplained := func(g schema.Gap) bool { return g.Class == schema.GapUnexplained }
	if !slices.ContainsFunc(j.gaps, unexplained) {
		return
	}
	stream := j.p.stream
	err := a.topics.refresh(ctx, stream.Topic)
	a.topics.mu.Lock()
	known := a.topics.known[stream.Topic]
	a.topics.mu.Unlock()
	why := ""
	if known.id == stream.TopicID && known.compacted {
		why = "; asked again, it has, or had since this process began"
	} else {
		err = errors.Join(err, a.patiently(ctx, j, func() (err error) {
			why, err = a.topics.wasCompacted(ctx, stream.TopicID)
			return err
		}))
	}
	why = clip(why)
	if why == "" {
		a.log.Error("offsets were not served, and nothing explains why", "topic", stream.Topic, "partition", stream.Partition,
			"offset", j.base, "to", j.next, "err", err)
		return
	}
	var said, now *string // one text of many
	for i := range j.gaps {
		g := &j.gaps[i]
		if !unexplained(*g) {
			continue
		}
		if now == nil || said != g.Evidence {
			text := *g.Evidence + why
			said, now = g.Evidence, &text
		}
		g.Class, g.Evidence = schema.GapCleaned, now
	}
}

// maxConfigBytes bounds a topic's recorded configuration: brokers have some
// dozens of keys.
const maxConfigBytes = 1 << 20

// wasCompacted looks for compact in the configurations of a topic that were
// recorded at any time, by whomever, and says when; empty: it is in none. One that
// is damaged tells nothing.
func (t *topics) wasCompacted(ctx context.Context, id schema.TopicID) (why string, err error) {
	for o, err := range t.a.store.List(ctx, schema.TopicConfigPrefix(id), "") {
		if err != nil {
			return "", err
		}
		raw, _, err := t.a.store.Get(ctx, o.Key, maxConfigBytes)
		var was recordedConfig
		if err == nil {
			if err := json.Unmarshal(raw, &was); err != nil || was.TopicID != id {
				t.a.log.Warn("a recorded configuration is damaged", "key", o.Key, "err", err)
				continue
			}
		}
		switch kind := schema.KindOf(err); {
		case err != nil && (kind == schema.Corrupt || kind == schema.NotFound || kind == schema.Exhausted):
			t.a.log.Warn("a recorded configuration cannot be read", "key", o.Key, "err", err)
		case err != nil:
			return "", err
		case compacts(was.Configs):
			return "; it had at " + was.Seen + ", as " + o.Key + " says", nil
		}
	}
	return "", nil
}

func compacts(entries []kafka.ConfigEntry) bool {
	return slices.ContainsFunc(entries, func(e kafka.ConfigEntry) bool {
		return e.Key == "cleanup.policy" && strings.Contains(e.Value, "compact")
	})
}
