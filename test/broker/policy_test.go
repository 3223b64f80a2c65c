package broker_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/verify"
)

// gate is a store that takes no segments while it is shut.
type gate struct {
	archiver.Store
	sync.RWMutex
}

func (g *gate) Put(ctx context.Context, key string, body []byte) (objstore.Object, error) {
	g.RLock()
	defer g.RUnlock()
	return g.Store.Put(ctx, key, body)
}

// TestPolicyChangesWhileArchived: while the store is away and the archiver's
// buffers are full, a topic becomes compacted. What the cleaner takes then is no
// alarm, though the archiver has not looked at the configuration since.
func TestPolicyChangesWhileArchived(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	s := r.topic(t, "changed", 1, nil)
	store := &gate{Store: r.store}
	r.into = store
	a, _ := r.archive(t, func(o *archiver.Options) { o.Memory, o.Tail.FetchBytes, o.Discovery = 1<<20, 256<<10, time.Hour })
	r.produce(t, s, 20)
	first := r.archived(t, a, s)

	store.Lock()
	value := make([]byte, 20_000)
	for i := range value {
		value[i] = byte(rand.Uint32()) // no codec makes it fit into the buffers
	}
	for i := range 600 {
		r.client.Produce(t.Context(), &kgo.Record{Topic: s.Topic, Key: fmt.Append(nil, i%10), Value: bytes.Clone(value)}, nil)
	}
	must(t, r.client.Flush(t.Context()))
	seen := r.served(t, s, kgo.ReadUncommitted())
	r.alter(t, s.Topic, compacting)
	r.cleaned(t, s)
	seen = append(seen, r.served(t, s, kgo.ReadUncommitted())...)
	store.Unlock()

	h := r.archived(t, a, s, seen...)
	if got := h.GapOffsets(); got[schema.GapCleaned] == 0 || len(got) != 1 {
		t.Errorf("gaps %+v, want some, all cleaned", h.Gaps)
	}
	if was, is := configuration(t, first), configuration(t, h); was == is {
		t.Error("the commits name the configuration of before")
	}
	well(t, a)
}

// TestConfigurationIsFollowed: commits say which configuration was in force.
func TestConfigurationIsFollowed(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	s := r.topic(t, "altered", 1, nil)
	a, _ := r.archive(t, nil)
	r.produce(t, s, 1)
	first := r.archived(t, a, s)
	r.alter(t, s.Topic, map[string]string{"retention.ms": "86400000"})
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		r.produce(t, s, 1)
		if h := r.archived(t, a, s); configuration(t, h) == configuration(t, first) {
			return errors.New("the commits name the configuration of before")
		}
		return nil
	})
	now, before := configuration(t, r.history(t, s)), configuration(t, first)
	kept := map[schema.Digest]string{}
	for o, err := range r.store.List(t.Context(), schema.TopicsPrefix+s.TopicID.String()+"/config-", "") {
		must(t, err)
		raw, _, err := r.store.Get(t.Context(), o.Key, 1<<20)
		must(t, err)
		var recorded struct{ Configs json.RawMessage }
		must(t, json.Unmarshal(raw, &recorded))
		kept[sha256.Sum256(recorded.Configs)] = string(recorded.Configs)
	}
	const altered = `"key":"retention.ms","value":"86400000"`
	if !strings.Contains(kept[now], altered) || kept[before] == "" || strings.Contains(kept[before], altered) {
		t.Errorf("the archive has the configurations %v; commits name %s, and %s before", kept, now, before)
	}
}

// configuration is what the newest commit names.
func configuration(t *testing.T, h *verify.Held) schema.Digest {
	t.Helper()
	digest := h.Commits[len(h.Commits)-1].TopicConfigSHA256
	if digest == nil {
		t.Fatal("a commit names no configuration")
	}
	return *digest
}
