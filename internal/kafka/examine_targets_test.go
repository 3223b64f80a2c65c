package kafka_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/doctor"
	"github.com/fx-risk-ai/annals/internal/kafka"
)

// What snapshots need besides what archiving does.
func TestExamineSnapshots(t *testing.T) {
	all := func(e *kafka.Examination) { e.Snapshots = true }
	groups := grant(kmsg.ACLResourceTypeGroup, "*", kmsg.ACLOperationDescribe)
	for name, c := range map[string]struct {
		acls    []kfake.ACL
		verdict doctor.Verdict
		says    string
	}{
		"neither":        {archivers(), doctor.Warning, "of any name have committed may not be read"},
		"groups":         {append(archivers(), groups), doctor.Warning, "the topics' access rules may not"},
		"groups and all": {append(archivers(), groups, grant(kmsg.ACLResourceTypeCluster, "kafka-cluster", kmsg.ACLOperationDescribe)), doctor.OK, "access rules, may be read"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t, c.acls)
			p.topic(t, "orders")
			expect(t, p.examine(t, all), doctor.KafkaSnapshots, c.verdict, c.says)
			expect(t, p.examine(t), doctor.KafkaSnapshots, doctor.OK, "none are taken")
		})
	}
}

// Clusters that replays may produce into: each answers, is one of its own, and lets topics
// be made.
func TestExamineTargets(t *testing.T) {
	archived := newPatient(t, archivers(), kfake.ClusterID("archived"))
	writer := []kfake.ACL{
		grant(kmsg.ACLResourceTypeTopic, "*", kmsg.ACLOperationDescribe), grant(kmsg.ACLResourceTypeTopic, "*", kmsg.ACLOperationCreate),
		grant(kmsg.ACLResourceTypeTopic, "*", kmsg.ACLOperationRead), grant(kmsg.ACLResourceTypeTopic, "*", kmsg.ACLOperationWrite),
	}
	staging := newPatient(t, writer, kfake.ClusterID("staging-id"))
	barred := newPatient(t, archivers(), kfake.ClusterID("barred-id"))
	readable := newPatient(t, append(archivers(), grant(kmsg.ACLResourceTypeTopic, "replay.annals-doctor", kmsg.ACLOperationCreate)), kfake.ClusterID("readable-id"))
	readable.topic(t, "positions")
	closed := newPatient(t, writer, kfake.ClusterID("closed-id"))
	closed.topic(t, "positions")
	named := func(name string, p *patient) kafka.TargetCluster {
		return kafka.TargetCluster{Name: name, Options: p.options}
	}
	deaf := kafka.TargetCluster{Name: "deaf", Options: kafka.Options{Brokers: []string{"127.0.0.1:1"}}}
	for name, c := range map[string]struct {
		clusters []kafka.TargetCluster
		verdict  doctor.Verdict
		says     string
	}{
		"none":                     {nil, doctor.OK, "names none"},
		"well":                     {[]kafka.TargetCluster{named("staging", staging)}, doctor.OK, "staging (staging-id) answer"},
		"the archived":             {[]kafka.TargetCluster{named("staging", staging), named("mirror", archived)}, doctor.Failed, "1 of 2 clusters: mirror is the archived cluster, archived"},
		"one by two":               {[]kafka.TargetCluster{named("staging", staging), named("test", staging)}, doctor.Failed, "1 of 2 clusters: test is staging, staging-id"},
		"no right":                 {[]kafka.TargetCluster{named("barred", barred)}, doctor.Failed, "barred: "},
		"no right to write":        {[]kafka.TargetCluster{named("readable", readable)}, doctor.Failed, "topic positions may not be written"},
		"no right to its settings": {[]kafka.TargetCluster{named("closed", closed)}, doctor.Failed, "closed: describe configuration of topic positions"},
		"away":                     {[]kafka.TargetCluster{deaf, named("staging", staging)}, doctor.Failed, "1 of 2 clusters: deaf: "},
	} {
		t.Run(name, func(t *testing.T) {
			targets := kafka.Targets{Archived: archived.options, Clusters: c.clusters, Positions: "positions", Sandbox: "replay."}
			begun, found := time.Now(), targets.Examine(t.Context())
			if len(found) != 1 || found[0].Verdict != doctor.OK && found[0].Todo == "" {
				t.Errorf("%+v", found)
			}
			expect(t, map[string]doctor.Check{found[0].Name: found[0]}, doctor.ReplayClusters, c.verdict, c.says)
			t.Logf("%s, in %s", found[0].Seen, time.Since(begun))
		})
	}
}
