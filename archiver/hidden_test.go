package archiver_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// guarded is a broker that checks permissions.
func guarded(t *testing.T, acls ...kfake.ACL) (broker *kfake.Cluster, root *kgo.Client) {
	t.Helper()
	allow := func(kind kmsg.ACLResourceType, name string, do kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kind, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: do, Allow: true}
	}
	acls = append(acls,
		allow(kmsg.ACLResourceTypeGroup, "annals-archiver", kmsg.ACLOperationRead),
		allow(kmsg.ACLResourceTypeTopic, "open", kmsg.ACLOperationRead),
		allow(kmsg.ACLResourceTypeTopic, "open", kmsg.ACLOperationDescribeConfigs),
		allow(kmsg.ACLResourceTypeTopic, "seen", kmsg.ACLOperationDescribe))
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "open", "seen", "unseen"),
		kfake.Superuser("SCRAM-SHA-256", "root", "root"), kfake.User("SCRAM-SHA-256", "annals", "secret", acls...))
	must(t, err)
	t.Cleanup(broker.Close)
	root, err = kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.SASL(scram.Auth{User: "root", Pass: "root"}.AsSha256Mechanism()))
	must(t, err)
	t.Cleanup(root.Close)
	return broker, root
}

func onGuarded(broker *kfake.Cluster) func(*archiver.Options) {
	return func(o *archiver.Options) {
		o.Kafka = kafka.Options{
			Brokers: broker.ListenAddrs(), ClientID: "annals-test", MetadataMaxAge: time.Second, Logger: slog.New(slog.DiscardHandler),
			SASL: kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: "annals", Password: "secret"},
		}
		o.Tail.InstanceID = ""
		o.Named = []string{"unseen", "open"}
	}
}

// says waits until the archiver says of each topic what is wanted: a part of
// the reason, "" for archived, "-" for nothing at all.
func says(t *testing.T, a *archiver.Archiver, want map[string]string) answer.Listing {
	t.Helper()
	var listing answer.Listing
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		listing = a.Topics()
		states := map[string]answer.TopicState{}
		for _, s := range listing.Topics {
			states[s.Topic] = s
		}
		for name, reason := range want {
			s, there := states[name]
			switch {
			case reason == "-" && there, reason != "-" && !there, reason == "" && !s.Archived,
				reason != "" && reason != "-" && (s.Archived || !strings.Contains(s.Reason, reason)):
				return fmt.Errorf("%s is said to be %+v, want %q; all: %+v", name, s, reason, listing)
			}
		}
		return nil
	})
	return listing
}

// A topic without permission is named, with the permission that lacks.
func TestTopicsWithoutPermissionAreNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	broker, root := guarded(t)
	a, _ := r.archive(t, onGuarded(broker))
	listing := says(t, a, map[string]string{"open": "", "seen": "no Read", "unseen": "no Describe"})
	if !strings.Contains(listing.Hidden, "Describe on the cluster") {
		t.Errorf("without Describe on the cluster: %q", listing.Hidden)
	}
	// Granted, it is archived; taken away, it is not gone without a word.
	admin := kadm.NewClient(root)
	grant := kadm.NewACLs().Topics("seen").Allow("User:annals").Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral)
	_, err := admin.CreateACLs(t.Context(), grant)
	must(t, err)
	says(t, a, map[string]string{"seen": ""})
	revoke := kadm.NewACLs().Topics("open").Allow("User:annals").AllowHosts("*").Operations(kadm.OpRead, kadm.OpDescribeConfigs).
		ResourcePatternType(kadm.ACLPatternLiteral)
	_, err = admin.DeleteACLs(t.Context(), revoke)
	must(t, err)
	says(t, a, map[string]string{"open": "no Describe"})
}

// With Describe on the cluster, topics are named that nobody told of.
func TestTopicsOnDiskAreNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	broker, root := guarded(t, kfake.ACL{
		Resource: kmsg.ACLResourceTypeCluster, Name: "kafka-cluster", Pattern: kmsg.ACLResourcePatternTypeLiteral,
		Operation: kmsg.ACLOperationDescribe, Allow: true,
	})
	a, _ := r.archive(t, func(o *archiver.Options) { onGuarded(broker)(o); o.Named = nil })
	listing := says(t, a, map[string]string{"open": "", "seen": "no Read", "unseen": "no Describe", "never": "-"})
	if listing.Hidden != "" {
		t.Errorf("nothing is hidden, and yet: %q", listing.Hidden)
	}
	_, err := kadm.NewClient(root).DeleteTopic(t.Context(), "seen")
	must(t, err)
	says(t, a, map[string]string{"seen": "-", "unseen": "no Describe"})
}
