package query_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// scan gives the coordinates that a scan finds, sorted, and how it ended.
func (a *archive) scan(who policy.Principal, r answer.ScanRequest) ([]string, *answer.Scan) {
	a.t.Helper()
	var found []string
	end, err := a.Scan(a.t.Context(), who, r, func(hit *answer.Hit, _ *answer.ScanProgress) error {
		if hit != nil {
			found = append(found, hit.Coordinates().String())
		}
		return nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
	if len(found) != end.Found {
		a.t.Errorf("%q: %d records told, %d counted", r.Query, len(found), end.Found)
	}
	slices.Sort(found)
	return found, end
}

func TestScanReadsTheBytes(t *testing.T) {
	a := newArchive(t, nil)
	noon := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	emea := a.produce("orders", "o-1", `{"order":{"id":"A-17","total":12.50,"lines":[{"sku":"x/y"}]},"paid":false,"note":null}`, noon, "tenant", "emea", "eventType", "OrderCreated", "eventId", "e-1")
	apac := a.produce("orders", "o-2", `{"order":{"id":"A-18","total":1e9}}`, noon.Add(time.Hour), "Tenant", "apac", "tenant", "emea2", "eventType", "OrderPaid")
	binary := a.produce("blobs", "o-1", "\x00\xffA-17'; DROP TABLE--", noon)
	a.sealAll()
	fresh := a.produce("orders", "o-3", `{"order":{"id":"A-17"}}`, noon)
	a.indexAll()
	for q, want := range map[string][]*schema.Record{
		"payload:A-17":                         {emea, binary},
		"payload:A-17 topic:orders":            {emea},
		"payload:A-17 payload:DROP":            {binary},
		`payload:"'; DROP TABLE--"`:            {binary},
		"payload/order/id=A-17":                {emea},
		"payload/order/total=12.5":             {emea},
		"payload/order/total=12.50":            {emea},
		"payload/order/total=1000000000":       nil, // as it is written, or without exponents
		"payload/order/total=1e9":              {apac},
		"payload/order/lines/0/sku=x/y":        {emea},
		"payload/order/lines/1/sku=x/y":        nil,
		"payload/paid=false":                   {emea},
		"payload/note=null":                    {emea},
		"payload/order=A-17":                   nil,
		"key:o-1":                              {emea, binary},
		"key:o-1 after:2024-03-01T12:30":       nil,
		"key:o-2 after:2024-03-01T12:30":       {apac},
		"header.tenant=emea":                   {emea},
		"header.TENANT=apac":                   {apac},
		"header.tenant=emea2 type:OrderP*":     {apac},
		"header.tenant=emea2 type:OrderC*":     nil,
		"payload:A id:e-1":                     {emea},
		"payload:A " + position(apac):          {apac},
		"payload:A partition:9":                nil,
		"payload:A topic:nothing":              nil,
		"payload:A status:aborted":             nil,
		"payload:A-1 header.tenant=emea":       {emea},
		"service:nobody payload:A":             nil,
		"topic:orders before:2024-03-01T13:00": {emea},
		// Records have milliseconds: noon is before half a millisecond after noon.
		"payload:A-17 topic:orders before:2024-03-01T12:00:00.0005Z": {emea},
		"payload:A-17 topic:orders after:2024-03-01T12:00:00.0005Z":  nil,
	} {
		var places []string
		for _, r := range want {
			places = append(places, position(r))
		}
		slices.Sort(places)
		got, end := a.scan(everybody(), answer.ScanRequest{Query: q})
		if !slices.Equal(got, places) || end.Stopped != "" || end.Records != end.OfRecords || end.Bytes != end.OfBytes || end.Segments != end.OfSegments {
			t.Errorf("%s: %v, want %v; %+v", q, got, places, end)
		}
	}
	_, end := a.scan(everybody(), answer.ScanRequest{Query: "payload/order/id=A-17"})
	if end.Unsealed != 1 || end.Opaque != 1 || end.OfRecords != 3 || end.OfBytes == 0 {
		t.Errorf("%s is not sealed and %s is no JSON, and the end says %+v", position(fresh), position(binary), end)
	}
	if got, end := a.scan(only(t, "orders"), answer.ScanRequest{Query: "payload:A-17"}); !slices.Equal(got, []string{position(emea)}) || end.OfRecords != 2 {
		t.Errorf("a viewer of orders finds %v in %+v", got, end)
	}
	if got, end := a.scan(only(t, "orders"), answer.ScanRequest{Query: "payload:A-17 topic:blobs"}); got != nil || end.OfRecords != 0 || len(end.Unknown) != 1 || end.Unsealed != 0 {
		t.Errorf("a viewer of orders learns of blobs: %v, %+v", got, end)
	}
}

// TestScanIsBounded reaches each bound, and holds what the end says of it.
func TestScanIsBounded(t *testing.T) {
	a := newArchive(t, func(o *query.Options) { o.ScanBytes = 1 })
	for day := range 3 {
		for i := range 1500 {
			a.produce("orders", "k", fmt.Sprintf(`{"n":%d}`, i), time.Date(2024, 3, 1+day, 0, 0, 0, 0, time.UTC))
		}
		a.sealAll()
	}
	found, end := a.scan(everybody(), answer.ScanRequest{Query: "payload:n", Limit: 1000})
	if len(found) != 1000 || end.Stopped != answer.StoppedByLimit || end.Records != 1000 || end.OfRecords != 4500 || end.Segments != 0 || end.Bytes == 0 || end.Bytes >= end.OfBytes/3 {
		t.Errorf("%d found: %+v", len(found), end)
	}
	_, end = a.scan(everybody(), answer.ScanRequest{Query: "payload:nothing"})
	if end.Stopped != answer.StoppedByBytes || end.Records != 1500 || end.Segments != 1 {
		t.Errorf("one segment is read, whatever it takes, and no second: %+v", end)
	}
	var told []answer.ScanProgress
	enough := errors.New("enough")
	_, err := a.Scan(t.Context(), everybody(), answer.ScanRequest{Query: "payload:nothing"}, func(_ *answer.Hit, p *answer.ScanProgress) error {
		if p != nil {
			told = append(told, *p)
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || len(told) != 1 || told[0].OfRecords != 4500 || told[0].Records == 0 {
		t.Errorf("progress %+v, %v", told, err)
	}
	slow := newArchive(t, func(o *query.Options) { o.ScanTime = time.Nanosecond })
	for range 3000 {
		slow.produce("orders", "k", `{}`, time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC))
	}
	slow.sealAll()
	if _, end := slow.scan(everybody(), answer.ScanRequest{Query: "payload:nothing"}); end.Stopped != answer.StoppedByTime || end.Records != 1024 || end.Bytes == 0 {
		t.Errorf("out of time: %+v", end)
	}
	for q, want := range map[string]string{"typ:a": "q", strings.Repeat("'", 10_000): "q", "payload:": "q"} {
		var fault *schema.Error
		if _, err := a.Scan(t.Context(), everybody(), answer.ScanRequest{Query: q}, nil); !errors.As(err, &fault) || fault.Field != want {
			t.Errorf("%.20q: %v", q, err)
		}
	}
	if _, err := a.Scan(t.Context(), everybody(), answer.ScanRequest{Limit: 1001}, nil); schema.KindOf(err) != schema.Invalid {
		t.Errorf("limit 1001: %v", err)
	}
}
