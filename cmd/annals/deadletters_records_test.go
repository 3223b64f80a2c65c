package main

import (
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/web/api"
)

// What is printed names what a person has to copy into the next command, and says
// what was left out.
func TestDeadRecordsForPeople(t *testing.T) {
	at, place := time.Date(2024, 6, 1, 9, 0, 0, 0, time.UTC), &api.Place{Topic: "orders", Partition: 1, Offset: 7}
	record := api.DeadRecord{
		Record:  api.Hit{Coordinates: api.Coordinates{Topic: "orders-dlt", Partition: 1, Offset: 3}, Timestamp: at},
		Failure: api.Failure{Original: place, By: pointer("billing"), Class: pointer("E"), Message: pointer("no rate\nat com.acme"), Signature: "0123456789abcdef"},
		PutBack: &api.Place{Topic: "orders", Partition: 1, Offset: 99},
	}
	n := int64(41)
	for name, c := range map[string]struct {
		show func(*strings.Builder)
		says []string
	}{
		"records": {func(w *strings.Builder) {
			showDeadRecords(w, &api.DeadRecordPage{Records: []api.DeadRecord{record}, Note: pointer("1 could not be read"), NextCursor: pointer("x")})
		}, []string{"orders-dlt/1/3", "orders/1/7", "billing", "orders/1/99", "E: no rate\n", "note: 1 could not be read", "--limit 0"}},
		"no records": {func(w *strings.Builder) { showDeadRecords(w, &api.DeadRecordPage{}) }, []string{"No dead letters of services."}},
		"groups": {func(w *strings.Builder) {
			showDeadGroups(w, &api.DeadRecordGroupList{LeftOut: 2, Groups: []api.DeadRecordGroup{{
				Signature: "0123456789abcdef", Records: 40, Class: "E", Message: strings.Repeat("ä", 200), Originals: []string{"orders"}, Samples: []api.DeadRecord{record},
			}}})
		}, []string{"0123456789abcdef", "40", "orders-dlt/1/3", "ä…", "2 more groups"}},
		"chain": {func(w *strings.Builder) {
			showDeadChain(w, &api.DeadChain{Truncated: true, Links: []api.DeadLink{
				{At: *place, Role: api.DeadLinkRoleOriginal, Note: pointer("it is not archived")},
				{At: api.Place{Topic: "orders-dlt", Partition: 1, Offset: 3}, Role: api.DeadLinkRoleDeadLetter, Record: &record.Record, Failure: &record.Failure, CopyOf: []api.Place{*place}},
			}})
		}, []string{"it is not archived", "dead letter", "E: no rate", "longer than is shown"}},
		"offsets": {func(w *strings.Builder) {
			showGroupOffsets(w, &api.GroupOffsets{Into: "copy", State: "Empty", Taken: &at, Notes: []string{"of another topic"}, Partitions: []api.GroupOffset{
				{Source: "orders", Target: "sandbox.orders", Committed: &n, Status: "gap", TargetOffset: &n, Note: pointer("the record at offset 50")},
				{Source: "orders", Target: "sandbox.orders", Partition: 1, TargetPartition: 1, Status: "uncommitted"},
			}})
		}, []string{"orders/0", "gap", "the record at offset 50", "snapshot of 2024-06-01", "of another topic", "1 offsets have no exact place", "Empty"}},
	} {
		var w strings.Builder
		c.show(&w)
		for _, text := range c.says {
			if !strings.Contains(w.String(), text) {
				t.Errorf("%s: %q is not in\n%s", name, text, w.String())
			}
		}
	}
}
