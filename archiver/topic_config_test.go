package archiver_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/schema"
)

// TestWhatWasCompactedIsCleaned: a topic is cleaned while no archiver runs, and is
// not compacted any more when one comes back. If it is on record that it was, the
// holes are no alarm, and their evidence says where that stands.
func TestWhatWasCompactedIsCleaned(t *testing.T) {
	t.Parallel()
	for recorded, want := range map[string]schema.GapClass{"compact": schema.GapCleaned, "delete": schema.GapUnexplained} {
		t.Run(recorded, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			admin, forEver := kadm.NewClient(r.client), "-1"
			created, err := admin.CreateTopic(t.Context(), 1, 1, map[string]*string{"cleanup.policy": &recorded, "retention.ms": &forEver}, "log")
			must(t, err)
			s := r.stream("log", schema.TopicID(created.ID), 0)
			become := func(policy string) {
				t.Helper()
				answers, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &policy}}, "log")
				must(t, err)
				must(t, answers[0].Err)
			}
			send := func(key string) {
				t.Helper()
				must(t, r.client.ProduceSync(t.Context(), &kgo.Record{Topic: "log", Key: []byte(key), Value: []byte("x")}).FirstErr())
			}
			send("first")
			a, stop := r.archive(t, nil)
			r.sealed(t, a, s, 1)
			stop()

			become("compact")
			for i := range 20 {
				send(fmt.Sprint(i % 2))
			}
			r.broker.Cluster().Compact()
			become("delete")
			a, _ = r.archive(t, nil)
			r.sealed(t, a, s, 21)
			var classes, evidence []string
			for entry, err := range r.book.Commits(t.Context(), s, 0) {
				must(t, err)
				gaps, err := r.book.Gaps(t.Context(), entry.Commit)
				must(t, err)
				for _, g := range gaps {
					classes, evidence = append(classes, string(g.Class)), append(evidence, *g.Evidence)
				}
			}
			if len(classes) == 0 || strings.ReplaceAll(strings.Join(classes, ""), string(want), "") != "" {
				t.Errorf("classes %v, want %s: %q", classes, want, evidence)
			}
			for _, said := range evidence {
				if named := strings.Contains(said, schema.TopicConfigPrefix(s.TopicID)); named != (want == schema.GapCleaned) {
					t.Errorf("evidence %q", said)
				}
			}
		})
	}
}
