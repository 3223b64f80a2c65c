package corpus_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/corpus"
	"github.com/fx-risk-ai/annals/test/verify"
)

// The families' topics: names that a path, a pattern or a key could stumble
// over, and one as long as a name may be. (Kafka refuses ".", "..", and a name
// that differs from another in a dot and an underscore only.)
var topics = map[string]string{
	"records": "odd.input_1", "headers": "...", "payloads": "p" + strings.Repeat("-", 247) + ".",
}

// parallel is how many questions are asked at once.
const parallel = 8

// sent is one family in Kafka.
type sent struct {
	family  string
	stream  schema.Stream
	cases   []*corpus.Case
	records []*schema.Record
}

// TestRecordsAreArchivedExactlyAndFound archives every record of the corpus,
// and reads each back: fresh, sealed, by the independent reader, and by every
// id that it has; then all are replayed.
func TestRecordsAreArchivedExactlyAndFound(t *testing.T) {
	r := newRig(t)
	var all []*sent
	for _, name := range families {
		f := &sent{family: name, stream: r.topic(t, topics[name], 1)}
		for _, c := range family(t, name).Cases {
			f.cases, f.records = append(f.cases, c), append(f.records, record(t, c))
		}
		r.produce(t, f.stream, f.records)
		all = append(all, f)
	}
	r.archive(t)
	must(t, r.archiver.CatchUp(t.Context()))
	freshFound(t, r, all)
	embeddedtest.Eventually(t, 30*time.Second, func() error { _, err := r.archiver.Seal(t.Context(), true); return err })
	must(t, r.archiver.Indexed(t.Context()))
	for _, f := range all {
		rows := r.rows(t, f.stream)
		if len(rows) != len(f.records) {
			t.Fatalf("%s: %d rows of %d records", f.family, len(rows), len(f.records))
		}
		for i, want := range f.records {
			if how := verify.Differ(&rows[i].Record, want); how != "" {
				t.Errorf("%s, %s: archived otherwise: %s", f.family, f.cases[i].Name, how)
			}
		}
		embeddedtest.Eventually(t, 10*time.Second, func() error { // the query engine looks once a second
			got, err := r.engine.Record(t.Context(), policy.Everything(), requestOf(f.records[len(f.records)-1]))
			if err == nil && !got.Hit.Sealed {
				return fmt.Errorf("%s is sealed, and shown as fresh", f.family)
			}
			return err
		})
		var group errgroup.Group
		group.SetLimit(parallel)
		for i := range f.records {
			group.Go(func() error { checkAnswer(t, r, f, i, true); return nil })
		}
		must(t, group.Wait())
		r.verify(t, f.stream)
	}
	checkIDs(t, r, all)
	if trouble := r.archiver.Health(); len(trouble) > 0 {
		t.Errorf("all is archived, and yet: %v", trouble)
	}
	checkReplay(t, r, all)
}

// freshFound looks at every tenth record before it is sealed.
func freshFound(t *testing.T, r *rig, all []*sent) {
	t.Helper()
	for _, f := range all {
		last := f.records[len(f.records)-1]
		embeddedtest.Eventually(t, 30*time.Second, func() error {
			_, err := r.engine.Record(t.Context(), policy.Everything(), requestOf(last))
			return err
		})
		for i := 0; i < len(f.records); i += 10 {
			checkAnswer(t, r, f, i, false)
		}
	}
}

func requestOf(rec *schema.Record) answer.RecordRequest {
	return answer.RecordRequest{Coordinates: schema.Coordinates{Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset}}
}

// checkAnswer reads one record by its coordinates through the query layer.
func checkAnswer(t *testing.T, r *rig, f *sent, i int, sealed bool) {
	t.Helper()
	got, err := r.engine.Record(t.Context(), policy.Everything(), requestOf(f.records[i]))
	if err != nil {
		t.Errorf("%s, %s: %v", f.family, f.cases[i].Name, err)
		return
	}
	if how := verify.Differ(got.Record, f.records[i]); how != "" || got.Hit.Sealed != sealed {
		t.Errorf("%s, %s: answered otherwise (sealed %t): %s", f.family, f.cases[i].Name, got.Hit.Sealed, how)
	}
	flags := slices.DeleteFunc(slices.Clone(f.cases[i].Holds), func(l corpus.Line) bool { return l.Word != "flag" })
	if len(flags) != len(got.Hit.Errors) || slices.ContainsFunc(flags, func(l corpus.Line) bool { return !slices.Contains(got.Hit.Errors, l.Rest) }) {
		t.Errorf("%s, %s: flagged with %q, want %v", f.family, f.cases[i].Name, got.Hit.Errors, flags)
	}
}

// checkIDs searches every id that a record of the corpus has in any role: it
// must find all the records that have it, and none that has not.
func checkIDs(t *testing.T, r *rig, all []*sent) {
	t.Helper()
	having := map[string][]string{} // id, as it is kept → coordinates
	names := map[string]string{}
	for _, f := range all {
		for i, rec := range f.records {
			at := requestOf(rec).String()
			names[at] = f.family + ", " + f.cases[i].Name
			for _, id := range idsOf(r.rules, rec) {
				if !slices.Contains(having[id], at) {
					having[id] = append(having[id], at)
				}
			}
		}
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	few := 0
	for id, places := range having {
		if strings.HasPrefix(id, "c1") || strings.HasPrefix(id, "k1") || strings.HasPrefix(id, "t1") {
			continue // hundreds of one case: the others stand for them
		}
		few++
		group.Go(func() error {
			page, err := r.engine.Search(t.Context(), policy.Everything(), answer.SearchRequest{ID: id, Limit: 1000})
			if err != nil {
				t.Errorf("search %.60q, which %s has: %v", id, names[places[0]], err)
				return nil
			}
			var found []string
			for _, h := range page.Records {
				found = append(found, h.Coordinates().String())
			}
			for _, at := range places {
				if !slices.Contains(found, at) {
					t.Errorf("search %.60q does not find %s", id, names[at])
				}
			}
			for _, at := range found {
				if !slices.ContainsFunc(extract.NormalizeID(id), func(s string) bool { return slices.Contains(having[s], at) }) {
					t.Errorf("search %.60q finds %s, which has no such id", id, names[at])
				}
			}
			return nil
		})
	}
	must(t, group.Wait())
	if few < 150 {
		t.Errorf("%d ids were searched: the corpus has more", few)
	}
}

// idsOf gives every id of a record, as the index keeps it.
func idsOf(rules *extract.Rules, rec *schema.Record) []string {
	var x schema.Extraction
	rules.Extract(rec, &x)
	ids := []string{x.EventID, x.TraceID}
	if rec.Offset < 10 { // all were asked for by their coordinates; these are searched, too
		ids = append(ids, requestOf(rec).String())
	}
	for _, c := range x.Causes {
		ids = append(ids, c.ID)
	}
	for _, i := range x.Identifiers {
		ids = append(ids, i.ID)
	}
	return slices.DeleteFunc(ids, func(id string) bool { return id == "" })
}
