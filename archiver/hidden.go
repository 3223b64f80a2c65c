package archiver

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// hidden is what is known of topics that the brokers' listing leaves out: they
// do so, without a word, with every topic that the user may not Describe. Two
// things tell of them: names known from elsewhere can be asked for one by one,
// and who has Describe on the cluster may see what the brokers keep on disk.
// It is guarded by topics' mutex.
type hidden struct {
	names  map[string]bool // to ask for by name: on disk, or listed once
	looked time.Time       // when the disks were asked last
	blind  string          // why unknown topics would go unseen; empty: they would not
}

const (
	diskEvery = 5 * time.Minute // the answer is long on a large cluster
	maxHidden = 10_000          // names that are kept
)

// vanished keeps the name of a topic that is listed no longer.
func (h *hidden) vanished(name string) {
	if h.names == nil {
		h.names = map[string]bool{}
	}
	if len(h.names) < maxHidden {
		h.names[name] = true
	}
}

// unlisted says which topics the listing leaves out, and why.
func (t *topics) unlisted(ctx context.Context, cluster kafka.Cluster) map[string]string {
	t.mu.Lock()
	look := time.Since(t.hidden.looked) >= diskEvery
	t.mu.Unlock()
	if look {
		t.lookOnDisk(ctx)
	}
	listed := map[string]bool{}
	for _, topic := range cluster.Topics {
		listed[topic.Name] = true
	}
	t.mu.Lock()
	ask := map[string]bool{}
	for name := range t.hidden.names {
		ask[name] = true
	}
	for name := range t.known {
		ask[name] = true
	}
	for _, name := range t.a.options.Named {
		ask[name] = true
	}
	t.mu.Unlock()
	maps.DeleteFunc(ask, func(name string, _ bool) bool { return listed[name] })
	if len(ask) == 0 {
		return nil
	}
	described, err := t.a.admin.Describe(ctx, slices.Sorted(maps.Keys(ask))...)
	if err != nil {
		t.a.log.Warn("no answer to which topics the listing leaves out", "topics", len(ask), "err", err)
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	reasons := map[string]string{}
	for _, topic := range described {
		if topic.Access == kafka.NoDescribe {
			reasons[topic.Name] = t.refusal(topic)
		}
	}
	// What the brokers say is not there, or has been listed since, is no secret.
	maps.DeleteFunc(t.hidden.names, func(name string, _ bool) bool { return reasons[name] == "" })
	return reasons
}

// lookOnDisk asks the brokers which topics they keep.
func (t *topics) lookOnDisk(ctx context.Context) {
	names, err := t.a.admin.OnDisk(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hidden.looked = time.Now()
	switch {
	case err == nil:
		t.hidden.blind, t.hidden.names = "", nil // what vanished and is not on disk is gone
	case schema.KindOf(err) == schema.Permission:
		t.hidden.blind = "topics that the archiver's Kafka user may not Describe are not listed by Kafka, and so are unknown here; " +
			"with Describe on the cluster too, they would be named"
	default:
		t.hidden.blind = "topics that the archiver's Kafka user may not Describe are not listed by Kafka, and the brokers do not say which they keep: " + err.Error()
		t.hidden.looked = t.hidden.looked.Add(time.Minute - diskEvery)
	}
	for _, name := range names {
		t.hidden.vanished(name)
	}
}
