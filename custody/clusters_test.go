package custody_test

import (
	"bytes"
	"testing"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Where two clusters have chains of one topic ID, a verification holds each
// against its own objects; an export, which could not tell their records apart,
// is refused.
func TestTopicIDOfTwoClusters(t *testing.T) {
	a := newArchive(t)
	first := a.produce("orders", 0, day, "of the one", nil)
	a.produce("other", 0, day, "of neither", nil)
	restored := a.stream("orders@restored", 0)
	restored.Cluster, restored.Topic, restored.TopicID = "restored", "orders", a.stream("orders", 0).TopicID
	for range 3 {
		a.produce("orders@restored", 0, day, "of the other", func(r *schema.Record) { r.Topic = "orders" })
	}
	a.seal()
	if r := a.verify(custody.ArchiveOptions{}); r.Result != custody.OK || r.Clusters != 2 || r.Chains != 3 || r.Records.Rows() != 5 || r.Orphans != 0 {
		t.Errorf("verified: %+v", r)
	}
	_, err := a.store.Put(t.Context(), schema.SegmentKey(restored.Stream, 5, 6, schema.Digest{1}), []byte("left behind"))
	must(t, err)
	if r := a.verify(custody.ArchiveOptions{}); r.Result != custody.OK || r.Orphans != 1 || r.OrphanBytes != 11 {
		t.Errorf("with an object that neither names: %+v", r)
	}
	refused := func(what string, e *custody.Exporter, r answer.ExportRequest) {
		t.Helper()
		if err := e.Export(t.Context(), policy.Everything(), r, &bytes.Buffer{}); schema.KindOf(err) != schema.Conflict {
			t.Errorf("%s: %v", what, err)
		}
	}
	plain := a.exporter(nil)
	refused("its topic", plain, answer.ExportRequest{Topics: []string{"orders", "other"}})
	refused("a trace in it", a.exporter(func(o *custody.Options) { o.Traces = traceOf("t", first) }), answer.ExportRequest{TraceID: "t"})
	sound(t, a.export(plain, policy.Everything(), answer.ExportRequest{Topics: []string{"other"}}))
}
