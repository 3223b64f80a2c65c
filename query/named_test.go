package query_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Keys and headers that the topic's policy lets into the index are found by it, each
// by its own name, together with anything else; where they are not, that is said.
func TestSearchByKeysAndHeaders(t *testing.T) {
	yes := true
	open := policy.Rule{Pattern: "orders", Key: &yes, Headers: []string{"Tenant", "region"}}
	a := newPolicedArchive(t, open)
	at := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	var orders []*schema.Record
	for n := range 6 {
		tenant, region := "emea", "north"
		if n%2 == 1 {
			tenant, region = region, tenant
		}
		orders = append(orders, a.produce("orders", fmt.Sprintf("K-%d", n/3), `{"n":1}`, at.Add(time.Duration(n)*time.Second),
			"tenant", tenant, "Region", region, "eventType", fmt.Sprintf("T%d", n%3), "correlationId", fmt.Sprintf("c-%d", n/2)))
	}
	a.produce("bills", "K-1", `{}`, at, "tenant", "emea", "correlationId", "c-1")
	a.sealAll()
	at6 := a.produce("orders", "K-1", `{}`, at.Add(time.Minute), "tenant", "emea", "eventType", "T0")
	a.indexAll() // not sealed, and no broker to read it from

	of := func(numbers ...int) (want []string) {
		for _, n := range slices.Backward(numbers) {
			want = append(want, position(orders[n]))
		}
		return want
	}
	orders = append(orders, at6)
	for _, search := range []struct {
		q    string
		want []string
	}{
		{"topic:orders key:K-1", of(3, 4, 5, 6)},
		{"topic:orders key:k-1", nil},
		{"topic:orders key:K-1 type:T1", of(4)},
		{"topic:orders header.tenant=emea before:2024-05-01T00:00:30Z", of(0, 2, 4)},
		{"topic:orders header.REGION=emea", of(1, 3, 5)},
		{"topic:orders key:K-0 header.tenant=emea", of(0, 2)},
		{"topic:orders header.tenant=emea header.region=emea before:2024-05-01T00:00:30Z", nil},
		{"topic:orders header.correlationId=c-1 key:K-0", of(2)},
		{"topic:orders c-1 key:K-1", of(3)},
	} {
		for _, limit := range []int{1, 100} {
			if got := a.searchAll(everybody(), answer.SearchRequest{Query: search.q, Limit: limit}); !slices.Equal(got, search.want) {
				t.Errorf("%s, pages of %d: %v, want %v", search.q, limit, got, search.want)
			}
		}
	}
	for q, want := range map[string]string{
		"key:K-1":                         "keys are not in the index of 1 topics (bills)",
		"header.tenant=emea":              `headers "tenant" are not in the index of 1 topics (bills)`,
		"header.correlationId=c-1":        "",
		"topic:orders header.tenant=emea": "1 records could not be read", // the one that no segment has yet
	} {
		page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Query: q})
		if err != nil || !strings.Contains(page.Note, want) || want == "" && (page.Note != "" || len(page.Records) != 3) {
			t.Errorf("%s: %d records, %q, %v", q, len(page.Records), page.Note, err)
		}
	}
	for q, want := range map[string]string{
		"topic:bills key:K-1":               "character 13: keys are not in the index",
		"topic:bills header.tenant=emea":    "character 13: headers are not in the index",
		"topic:orders header.eventType=T1":  "headers are not in the index",
		"topic:orders key:K-1 payload:n":    "payloads are not in the index",
		"topic:orders key:K-1 violation:x*": "not with keys and headers",
	} {
		if _, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Query: q}); schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", q, err)
		}
	}
	if got := a.searchAll(only(t, "bills"), answer.SearchRequest{Query: "header.correlationId=c-1"}); len(got) != 1 {
		t.Errorf("a viewer of bills finds %v", got)
	}
	a.afterwards(policy.Rule{Pattern: "orders", Personal: []string{"key", "header:tenant"}, Key: &yes, Headers: []string{"tenant", "region"}})
}

// afterwards asks by a policy that withholds keys and tenants: what the index still has
// of a policy before is not told.
func (a *archive) afterwards(rule policy.Rule) {
	a.t.Helper()
	policies, err := policy.NewRules([]policy.Rule{rule})
	if err != nil {
		a.t.Fatal(err)
	}
	rules, err := extract.New(extract.Options{Policy: policies})
	if err != nil {
		a.t.Fatal(err)
	}
	later, err := query.New(query.Options{Index: a.index, Store: a.store, Ledger: a.ledger, Extract: rules, Policy: policies, Bucket: a.store.Bucket(), Prefix: a.store.Prefix()})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, q := range []string{"topic:orders key:K-1", "topic:orders header.tenant=emea"} {
		if page, err := later.Search(a.t.Context(), everybody(), answer.SearchRequest{Query: q}); schema.KindOf(err) != schema.Invalid {
			a.t.Errorf("%s by a policy that withholds it: %+v, %v", q, page, err)
		}
	}
}
