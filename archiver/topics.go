package archiver

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// topic is one archived incarnation.
type topic struct {
	id          schema.TopicID
	compacted   bool
	config      *schema.Digest
	configKnown bool
	retention   retention
	// latestBelow: its partitions below this one begin, without a chain, at
	// the high watermark. Partitions added later begin at log start.
	latestBelow int32
}

// topics finds topics, notices when one is recreated, and keeps their
// configuration in the archive.
type topics struct {
	a       *Archiver
	cluster string
	again   chan struct{}
	listed  bool // once, at least; watch's own

	// watch's own: whose topic IDs the ledger was asked for.
	listings int
	asked    map[schema.TopicID]bool
	life     life

	mu      sync.Mutex
	others  map[schema.TopicID]string // of those asked, which belong to another cluster, which is named
	known   map[string]topic
	epochs  map[kafka.TopicPartition]int32 // leader epochs, by the last listing
	refused map[string]string
	first   bool // no stream of this cluster is archived yet, and this is the first listing
	hidden  hidden
}

func newTopics(a *Archiver) *topics {
	return &topics{
		a: a, again: make(chan struct{}, 1), known: map[string]topic{}, refused: map[string]string{},
		life: life{partitions: map[schema.TopicID]int{}, notes: map[string]any{}},
	}
}

// look asks for a listing soon.
func (t *topics) look() {
	select {
	case t.again <- struct{}{}:
	default:
	}
}

// connect learns the cluster's ID, patiently.
func (t *topics) connect(ctx context.Context) error {
	for pauses := retry.Between(250*time.Millisecond, 10*time.Second); ; {
		err := t.identify(ctx)
		if err == nil || schema.KindOf(err) == schema.Invalid {
			return err
		}
		t.a.mu.Lock()
		t.a.trouble(cause{from: onKafka, what: "start"}, err)
		t.a.mu.Unlock()
		if pauses.Wait(ctx) != nil {
			return nil
		}
	}
}

func (t *topics) identify(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	cluster, err := t.a.admin.Cluster(asking)
	if err != nil {
		return err
	}
	if cluster.ID == "" || cluster.ID != schema.EscapeTopic(cluster.ID) {
		return schema.Errorf(schema.Invalid, "the Kafka cluster reports the ID %q; Annals keys the archive by it and needs letters, digits, - or _", cluster.ID)
	}
	archived, err := t.a.ledger.HasStreams(asking, cluster.ID)
	if err != nil {
		return err
	}
	t.cluster, t.first = cluster.ID, !archived
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	t.a.clear(cause{from: onKafka, what: "start"})
	return nil
}

// watch lists topics until ctx ends.
func (t *topics) watch(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	listings := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.again:
			pause(ctx, 250*time.Millisecond) // several partitions ask at once
		case <-timer.C:
		}
		err := t.list(ctx)
		t.a.mu.Lock()
		if err == nil {
			t.a.clear(cause{from: onKafka, what: "listing topics"})
		} else if ctx.Err() == nil {
			t.a.trouble(cause{from: onKafka, what: "listing topics"}, err)
		}
		t.a.mu.Unlock()
		if listings++; err == nil && listings%configEvery == 0 {
			t.lookAtConfigs(ctx)
		}
		timer.Reset(t.a.options.Discovery)
	}
}

// list compares what is there with what is known.
func (t *topics) list(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cluster, err := t.a.admin.Cluster(asking)
	if err != nil {
		return err
	}
	if cluster.ID != t.cluster {
		return schema.Errorf(schema.Unavailable, "the brokers now belong to cluster %s, this process archives %s: restart it", cluster.ID, t.cluster)
	}
	unlisted := t.unlisted(asking, cluster)
	t.led(cluster)
	if err := t.lookAtOthers(asking, cluster); err != nil {
		return err
	}
	added, gone := t.changes(cluster, unlisted)
	if len(gone) > 0 {
		t.forget(gone)
	}
	if len(added) > 0 {
		t.a.consumer.Add(added...)
	}
	t.noteLife(asking, cluster)
	if !t.listed {
		t.listed = true
		t.a.gone.look()
	}
	return nil
}

// lookAtOthers asks which topics are another cluster's in this archive, when
// there are topics that it has not been asked of, and now and then again: two
// archivers may have begun at once.
func (t *topics) lookAtOthers(ctx context.Context, cluster kafka.Cluster) error {
	ids, unasked := map[schema.TopicID]bool{}, false
	for _, listed := range cluster.Topics {
		if !listed.ID.IsZero() {
			ids[listed.ID] = true
			unasked = unasked || !t.asked[listed.ID]
		}
	}
	if t.listings++; !unasked && t.listings%othersEvery != 0 {
		return nil
	}
	others, err := t.a.ledger.Others(ctx, cluster.ID, ids)
	if err != nil {
		return err
	}
	t.asked = ids
	t.mu.Lock()
	defer t.mu.Unlock()
	t.others = others
	return nil
}

// othersEvery is how many listings lie between two looks at the chains of other
// clusters.
const othersEvery = 60

// led notes who leads, and doubts what another leads now than did.
func (t *topics) led(cluster kafka.Cluster) {
	epochs := map[kafka.TopicPartition]int32{}
	for _, listed := range cluster.Topics {
		for i, number := range listed.Partitions {
			epochs[kafka.TopicPartition{Topic: listed.Name, Partition: number}] = listed.LeaderEpochs[i]
		}
	}
	t.mu.Lock()
	t.epochs = epochs
	t.mu.Unlock()
	for _, listed := range cluster.Topics {
		t.a.ledBy(listed)
	}
}

// epochOf is a partition's leader epoch by the last listing; -1: not known.
func (t *topics) epochOf(key kafka.TopicPartition) int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if epoch, ok := t.epochs[key]; ok {
		return epoch
	}
	return -1
}

// changes notes what is new and what is gone. unlisted are topics that the
// listing leaves out, with the reason.
func (t *topics) changes(cluster kafka.Cluster, unlisted map[string]string) (added, gone []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := map[string]bool{}
	clear(t.refused)
	maps.Copy(t.refused, unlisted)
	for _, listed := range cluster.Topics {
		if reason := t.refusal(listed); reason != "" {
			t.refused[listed.Name] = reason
			continue
		}
		seen[listed.Name] = true
		known, ok := t.known[listed.Name]
		if ok && known.id == listed.ID {
			continue
		}
		if ok {
			gone = append(gone, listed.Name)
			t.a.gone.leaves(known.id)
			t.went(listed.Name, known.id, &listed.ID)
			t.a.log.Warn("topic was recreated", "topic", listed.Name, "topic_id", listed.ID.String(), "before", known.id.String())
		} else {
			t.a.log.Info("topic found", "topic", listed.Name, "topic_id", listed.ID.String(), "partitions", len(listed.Partitions))
		}
		t.a.gone.listed(listed.ID)
		found := topic{id: listed.ID}
		if t.first && t.a.options.StartLatest {
			found.latestBelow = int32(len(listed.Partitions))
		}
		t.known[listed.Name] = found
		added = append(added, listed.Name)
	}
	for name := range t.known {
		if !seen[name] {
			if reason, ok := t.refused[name]; ok {
				t.a.log.Warn("topic is not archived any further", "topic", name, "topic_id", t.known[name].id.String(), "why", reason)
			} else {
				t.went(name, t.known[name].id, nil)
				t.a.log.Warn("topic is gone", "topic", name, "topic_id", t.known[name].id.String())
			}
			t.a.gone.leaves(t.known[name].id)
			delete(t.known, name)
			t.hidden.vanished(name)
			gone = append(gone, name)
		}
	}
	t.first = false
	return added, gone
}

// wanted names the topics of a listing that are archived.
func (t *topics) wanted(cluster kafka.Cluster) (names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, listed := range cluster.Topics {
		if t.refusal(listed) == "" {
			names = append(names, listed.Name)
		}
	}
	return names
}

// refusal says why a topic is not archived, or "". Needs mu.
func (t *topics) refusal(listed kafka.Topic) string {
	switch {
	case listed.Internal, listed.Name == "__consumer_offsets", listed.Name == "__transaction_state":
		return "internal to Kafka"
	case t.a.options.Topics != nil && !t.a.options.Topics(listed.Name):
		return "excluded by the configuration"
	case listed.Access == kafka.NoDescribe:
		return "no Describe: the archiver's Kafka user may not see it"
	case listed.Access == kafka.NoRead:
		return "no Read: the archiver's Kafka user may see it, but not read it"
	case listed.Err != nil:
		return "the brokers answer: " + listed.Err.Error()
	case listed.ID.IsZero():
		return "the brokers report no topic ID (they are older than Kafka 2.8, KIP-516)"
	case t.others[listed.ID] != "":
		return ledger.TwoClusters(listed.Name, listed.ID, t.others[listed.ID], t.cluster).Error() + "; " + ledger.OwnPrefix
	default:
		return ""
	}
}

// forget drops the partitions of topics that are not archived any further, whatever
// the group says. What was read of them is sealed, also where only the rights to a
// topic are gone: they are often taken away just before it is deleted, and then it
// cannot be read again. Not so of a topic that is another cluster's in this archive.
func (t *topics) forget(names []string) {
	t.mu.Lock()
	others := t.others
	t.mu.Unlock()
	t.a.mu.Lock()
	var dropped, departs []kafka.TopicPartition
	for key, p := range t.a.partitions {
		switch {
		case !slices.Contains(names, key.Topic):
		case others[p.stream.TopicID] != "":
			dropped = append(dropped, key)
		default:
			departs = append(departs, key)
		}
	}
	t.a.drop(dropped, "topic not archived any further")
	t.a.depart(departs)
	t.a.mu.Unlock()
	t.a.consumer.Purge(names...)
}

// get returns a topic that the group has assigned, with its configuration.
func (t *topics) get(ctx context.Context, name string) (topic, error) {
	t.mu.Lock()
	known, ok := t.known[name]
	t.mu.Unlock()
	if !ok {
		t.look()
		return topic{}, schema.Errorf(schema.Unavailable, "topic %s was assigned, but is not listed yet", name)
	}
	if known.configKnown {
		return known, nil
	}
	if err := t.describe(ctx, name, &known); err != nil {
		return topic{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if now, ok := t.known[name]; ok && now.id == known.id {
		t.known[name] = known
	}
	return known, nil
}

// idOf is the topic's ID by the last listing.
func (t *topics) idOf(name string) (schema.TopicID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.known[name]
	return known.id, ok
}

// recordedConfig is what stands under topics/: what it takes to read the
// topic's records in ten years.
type recordedConfig struct {
	Cluster string              `json:"cluster"`
	Topic   string              `json:"topic"`
	TopicID schema.TopicID      `json:"topic_id"`
	Seen    string              `json:"seen"`
	Configs []kafka.ConfigEntry `json:"configs"`
}

// describe reads a topic's configuration and puts it into the archive. Without
// the permission the digest stays unknown, which commits say as null.
func (t *topics) describe(ctx context.Context, name string, known *topic) error {
	entries, err := t.a.admin.Config(ctx, name)
	if err != nil {
		t.a.log.Warn("topic configuration is unknown", "topic", name, "err", err,
			"hint", "grant DescribeConfigs, so that commits can say which configuration was in force")
		known.configKnown = true
		return nil
	}
	return t.record(ctx, name, known, entries)
}

// Topics returns every topic of the last listing, and those that are known to
// be missing in it, and whether each is archived.
func (a *Archiver) Topics() answer.Listing {
	a.topics.mu.Lock()
	defer a.topics.mu.Unlock()
	list := answer.Listing{Hidden: a.topics.hidden.blind}
	for name, known := range a.topics.known {
		list.Topics = append(list.Topics, answer.TopicState{Topic: name, TopicID: known.id, Archived: true})
	}
	for name, reason := range a.topics.refused {
		list.Topics = append(list.Topics, answer.TopicState{Topic: name, Reason: reason})
	}
	slices.SortFunc(list.Topics, func(x, y answer.TopicState) int { return strings.Compare(x.Topic, y.Topic) })
	return list
}
