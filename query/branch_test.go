package query_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// What was indexed on a branch and never sealed before it ended is shown
// nowhere: not by search, trace, id, edge or coordinates, nor counted. What was
// sealed on it stays readable, labelled with its branch.
func TestUnsealedRowsOfAnEndedBranchAreNotShown(t *testing.T) {
	a := newArchive(t, nil)
	at := time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)
	event := func(id string) string {
		return `{"eventId":"` + id + `","traceId":"trace-` + id + `","eventType":"t"}`
	}
	kept := a.produce("log", "k", event("kept"), at)
	sealed := a.produce("log", "k", event("sealed"), at)
	a.sealAll()
	fresh := a.produce("log", "k", event("fresh"), at)
	a.indexAll()
	s := a.stream("log", kept.Partition)
	s.pending = nil
	child := a.produce("log", "k", `{"eventId":"child","traceId":"trace-child","causationId":"fresh"}`, at)
	s.pending, s.next = nil, child.Offset
	// Both of offset 1 and 2 are another history's.
	s.branch = 1
	c := a.commit(s, schema.KindDivergence)
	c.Branch, c.Base, c.Next = 1, 1, 1
	c.Divergence = &schema.Divergence{ArchivedNext: 2, BranchPoint: 1, Evidence: "test"}
	a.append(s, c, nil)
	s.next = 1
	a.produce("log", "k", `{"eventId":"newer","traceId":"trace-newer","causationId":"fresh"}`, at)
	a.sealAll()
	time.Sleep(1100 * time.Millisecond) // what the engine knows may be a second old

	page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Topics: []string{"log"}})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, r := range page.Records {
		found = append(found, r.EventID)
		if r.EventID == "sealed" && (r.Branch != 0 || !r.Sealed) {
			t.Errorf("what was sealed on the ended branch: %+v", r)
		}
	}
	if got := strings.Join(found, " "); got != "newer sealed kept" {
		t.Errorf("found %q", got)
	}
	if page.Searched.Records != 3 {
		t.Errorf("%d records were searched, 3 count", page.Searched.Records)
	}
	var missing *answer.NotFoundError
	if _, err := a.Trace(t.Context(), everybody(), answer.TraceRequest{TraceID: "trace-fresh"}); !errors.As(err, &missing) {
		t.Errorf("trace: %v", err)
	}
	if is, err := a.Identify(t.Context(), everybody(), "fresh"); err != nil || len(is.Matches) != 1 || is.Matches[0].Role == schema.IDEvent.String() {
		t.Errorf("identify: %+v, %v", is, err) // newer names it; it is nobody's own
	}
	if byID, err := a.Search(t.Context(), everybody(), answer.SearchRequest{ID: "trace-fresh"}); err != nil || len(byID.Records) != 0 {
		t.Errorf("search by id: %+v, %v", byID, err)
	}
	trace, err := a.Trace(t.Context(), everybody(), answer.TraceRequest{TraceID: "trace-newer"})
	if err != nil || trace.Ghosts != 1 || trace.OutsideParents != 0 {
		t.Errorf("an edge to it: %+v, %v", trace, err)
	}
	if got, err := a.Record(t.Context(), everybody(), request(fresh)); !errors.As(err, &missing) {
		t.Errorf("record: %+v, %v", got, err)
	}
	coverage, err := a.Coverage(t.Context(), everybody(), "log")
	if err != nil || len(coverage.Partitions) != 1 || coverage.Partitions[0].Branch != 1 ||
		coverage.Partitions[0].ArchivedTo != 2 || coverage.Partitions[0].FreshTo != 2 {
		t.Errorf("coverage: %+v, %v", coverage, err)
	}
	files, err := a.Segments(t.Context(), everybody(), answer.SegmentRequest{Topic: "log"})
	if err != nil || len(files.Segments) != 2 || files.Segments[0].Until != sealed.Offset || files.Segments[0].Next != 2 {
		t.Errorf("files: %+v, %v", files, err)
	}
}
