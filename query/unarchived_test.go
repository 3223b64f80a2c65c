package query_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// A process that does not archive says what it can, and that it is not all.
func TestNotArchivedWithoutAnArchiver(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "seen", "read", "unseen"),
		kfake.User("SCRAM-SHA-256", "server", "secret",
			kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "seen", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: true},
			kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "read", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationRead, Allow: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	admin, err := kafka.NewAdmin(kafka.Options{
		Brokers: broker.ListenAddrs(), ClientID: "test", SASL: kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: "server", Password: "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	a := newArchive(t, func(o *query.Options) { o.Broker = admin })
	all, err := a.Coverage(t.Context(), everybody(), "")
	if err != nil || len(all.NotArchived) != 2 || len(all.Notes) != 1 || !strings.Contains(all.Notes[0], "unknown here") {
		t.Fatalf("%+v, %v", all, err)
	}
	if read, seen := all.NotArchived[0], all.NotArchived[1]; read.Topic != "read" || !strings.Contains(read.Reason, "unknown here") ||
		seen.Topic != "seen" || !strings.Contains(seen.Reason, "no Read") {
		t.Errorf("%+v", all.NotArchived)
	}
	if all, err := a.Coverage(t.Context(), only(t, "read"), ""); err != nil || len(all.NotArchived) != 1 {
		t.Errorf("a viewer of one topic is told of %+v, %v", all, err)
	}
	if one, err := a.Coverage(t.Context(), everybody(), "seen"); err != nil || len(one.Partitions) != 0 || len(one.NotArchived) != 1 {
		t.Errorf("a topic that is not archived: %+v, %v", one, err)
	}
	if _, err := a.Coverage(t.Context(), only(t, "read"), "seen"); schema.KindOf(err) != schema.NotFound {
		t.Errorf("a topic that the asker may not see: %v", err)
	}
	listed, err := a.Topics(t.Context(), everybody())
	if err != nil || len(listed.Topics) != 2 || listed.Topics[1].Archived || !strings.Contains(listed.Topics[1].Detail, "no Read") || len(listed.Notes) != 1 {
		t.Errorf("%+v, %v", listed, err)
	}
}

// With an archiver its word counts, also of a topic that was archived once.
func TestTopicsSayWhatIsNoLongerArchived(t *testing.T) {
	a := newArchive(t, func(o *query.Options) {
		o.Archiver = func() answer.Listing {
			return answer.Listing{
				Topics: []answer.TopicState{{Topic: "was", Reason: "no Read"}, {Topic: "never", Reason: "no Describe"}, {Topic: "__x", Reason: "internal to Kafka"}},
				Hidden: "some may be hidden",
			}
		}
	})
	a.produce("was", "k", "v", a.clock)
	a.sealAll()
	listed, err := a.Topics(t.Context(), everybody())
	if err != nil || len(listed.Topics) != 2 || listed.Topics[0].Archived || listed.Topics[0].Detail != "no Describe" ||
		!listed.Topics[1].Archived || listed.Topics[1].Detail != "no longer archived: no Read" || listed.Notes[0] != "some may be hidden" {
		t.Errorf("%+v, %v", listed, err)
	}
}
