package web_test

import (
	"reflect"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// What services' dead letters are narrowed by arrives, and what they tell comes back
// whole.
func TestDeadRecordsOverHTTP(t *testing.T) {
	s := start(t, nil)
	c := dial(t, s)
	topic, original, text, service, signature, limit, cursor := "a.*", "orders", "no rate", "billing", "0123456789abcdef", 7, "x"
	params := api.ListDeadRecordsParams{Topic: &topic, Original: &original, Error: &text, Service: &service, Signature: &signature, From: &noon, Limit: &limit, Cursor: &cursor}
	page, err := c.DeadRecords(t.Context(), params)
	if err != nil || len(page.Records) != 1 || page.Records[0].Failure.Original.Offset != 1<<60 || page.NextCursor != nil || page.Note != nil {
		t.Errorf("%+v, %v", page, err)
	}
	want := answer.DeadRecordRequest{Topic: topic, Original: original, Error: text, Service: service, Signature: signature, From: noon, Limit: limit, Cursor: cursor}
	if got := s.archive.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("arrived as %+v", got)
	}
	groups, err := c.DeadRecordGroups(t.Context(), api.ListDeadRecordGroupsParams{Service: &service, To: &noon})
	if err != nil || len(groups.Groups) != 1 || groups.Groups[0].Samples == nil || groups.Complete {
		t.Errorf("%+v, %v", groups, err)
	}
	if got := s.archive.last(); !reflect.DeepEqual(got, answer.DeadRecordRequest{Service: service, To: noon, Limit: 100}) {
		t.Errorf("arrived as %+v", got)
	}
	at := schema.Coordinates{Topic: "orders", Partition: 2, Offset: 1 << 60}
	chain, err := c.DeadChain(t.Context(), at)
	if err != nil || len(chain.Links) != 1 || chain.Links[0].At.Offset != at.Offset || chain.Links[0].Record != nil || *chain.Links[0].Note != "not archived" {
		t.Errorf("%+v, %v", chain, err)
	}
	plan, err := c.PlanRedrive(t.Context(), api.RedriveRequest{Records: &[]api.Place{{Topic: "orders-dlt", Offset: 7}}, AllowExisting: ptr(true), Limit: ptr(5), Again: ptr(true)})
	if err != nil || plan.Id != "p" {
		t.Errorf("%+v, %v", plan, err)
	}
	h := hit(1)
	asked := answer.ReplayRequest{AllowExisting: true, Redrive: &answer.RedriveRequest{
		Records: []answer.RedriveRecord{{Place: answer.Place{Topic: h.Topic, TopicID: h.TopicID, Partition: h.Partition, Branch: h.Branch, Offset: h.Offset}}}, Limit: 5, Again: true,
	}}
	if got := s.archive.last(); !reflect.DeepEqual(got, asked) {
		t.Errorf("arrived as %+v", got)
	}
	if _, err := c.PlanRedrive(t.Context(), api.RedriveRequest{AllowExisting: ptr(true), From: &noon}); schema.KindOf(err) != schema.Invalid {
		t.Errorf("everything since a time: %v", err)
	}
	signature = "none"
	if _, err := c.DeadRecords(t.Context(), params); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a signature that is none: %v", err)
	}
}

// A group's offsets are asked for and committed by two ways: only the second commits.
func TestGroupOffsetsOverHTTP(t *testing.T) {
	s := start(t, nil)
	c := dial(t, s)
	id, into := "0123456789abcdef", "copy"
	found, err := c.GroupOffsets(t.Context(), id, api.GetGroupOffsetsParams{Group: "billing", AsOf: &noon, Into: &into})
	if err != nil || len(found.Partitions) != 1 || !found.Partitions[0].Exact || *found.Partitions[0].TargetOffset != 1<<60 || found.Taken != nil || found.Notes == nil {
		t.Errorf("%+v, %v", found, err)
	}
	if got := s.archive.last(); !reflect.DeepEqual(got, answer.GroupOffsetsRequest{Group: "billing", AsOf: noon, Into: into}) {
		t.Errorf("arrived as %+v", got)
	}
	if _, err := c.CommitGroupOffsets(t.Context(), id, api.GroupOffsetsRequest{Group: "billing", Nearest: ptr(true)}); err != nil {
		t.Error(err)
	}
	if got := s.archive.last(); !reflect.DeepEqual(got, answer.GroupOffsetsRequest{Group: "billing", Nearest: true, Apply: true}) {
		t.Errorf("arrived as %+v", got)
	}
	if _, err := c.GroupOffsets(t.Context(), id, api.GetGroupOffsetsParams{}); schema.KindOf(err) != schema.Invalid {
		t.Errorf("no group: %v", err)
	}
}
