package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/web/api"
)

// TestTheDemoKeepsItsContracts: annals up --demo holds every event to the
// contracts that are checked in, and none breaks them.
func TestTheDemoKeepsItsContracts(t *testing.T) {
	i := year(t)
	var broken api.ViolationList
	i.JSON(t, &broken, "contracts", "violations")
	if len(broken.Violations) != 0 {
		t.Errorf("the demo breaks its contracts: %+v", broken.Violations)
	}
	var all api.EventTypeList
	i.JSON(t, &all, "catalog")
	types := map[string]api.EventType{}
	for _, e := range all.EventTypes {
		types[e.EventType] = e
	}
	for name, want := range map[string]struct{ team, producer, topic, consumer string }{
		"FxRateReceived":       {"market-data", "ecb-gateway", "fx.rates.received", "rate-enricher"},
		"FxRateEnriched":       {"market-data", "rate-enricher", "fx.rates.enriched", "risk-engine"},
		"FxVolatilityComputed": {"fx-risk", "risk-engine", "fx.risk.volatility", "risk-alerts"},
		"FxRiskAlertRaised":    {"fx-risk", "risk-alerts", "fx.risk.alerts", ""},
	} {
		e, ok := types[name]
		if !ok || e.Team == nil || *e.Team != want.team || len(e.Producers) != 1 || e.Producers[0].Service != want.producer || !e.Producers[0].Declared ||
			len(e.Topics) != 1 || e.Topics[0].Topic != want.topic || e.Records == 0 || e.WithErrors != 0 || !e.ConsumersKnown {
			t.Errorf("%s: %+v", name, e)
		}
		consumed := want.consumer == ""
		for _, c := range e.Consumers {
			consumed = consumed || strings.Contains(c.Group, want.consumer)
		}
		if !consumed {
			t.Errorf("%s is not known to be read by %s: %+v", name, want.consumer, e.Consumers)
		}
	}
	var one api.EventTypeList
	i.JSON(t, &one, "catalog", "FxRateEnriched")
	if len(one.EventTypes) != 1 || one.EventTypes[0].Sample == nil || one.EventTypes[0].Schema == nil {
		t.Errorf("one type: %+v", one)
	}
}

// TestContractsCheckHasItsExitCodes holds contracts to the demo's events as a
// producer's CI does.
func TestContractsCheckHasItsExitCodes(t *testing.T) {
	i := year(t)
	dir := t.TempDir()
	write := func(name, contract, schema string) string {
		t.Helper()
		path := filepath.Join(dir, name+".yaml")
		for file, text := range map[string]string{path: contract, filepath.Join(dir, name+".json"): schema} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	contract := func(kind, name string) string {
		return fmt.Sprintf("type: %s\nversion: 3\nteam: fx-risk\ntopics: [fx.risk.alerts]\nproducers: [risk-alerts]\nsla: {max_delay: 1s}\nschema: %s.json\n", kind, name)
	}
	registered, err := os.ReadFile("../../demo/contracts/fx-risk-alert-raised.v2.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(string(registered), `"properties": {`, `"properties": {"desk": {"type": "string"},`, 1)
	stricter := strings.Replace(string(registered), `"required": [`, `"required": ["desk", `, 1)
	looser := strings.Replace(string(registered), `"required": ["eventId", `, `"required": [`, 1)
	for name, c := range map[string]struct {
		path string
		code int
		says []string
	}{
		"as registered":        {"../../demo/contracts/fx-rate-received.v2.yaml", 0, []string{"FxRateReceived version 2: compatible; identical"}},
		"all, some never seen": {"../../demo/contracts", 3, []string{"FxRateReceived version 2: compatible", "FxRateReceived version 1: indeterminate"}},
		"one field more":       {write("more", contract("FxRiskAlertRaised", "more"), more), 0, []string{"compatible; additive against the registered version 2", "/desk is new"}},
		"a field is required":  {write("stricter", contract("FxRiskAlertRaised", "stricter"), stricter), 1, []string{"incompatible; breaking", "contract:required:/desk", "fx.risk.alerts/", "breaks events: /desk is required now"}},
		"a promise less":       {write("looser", contract("FxRiskAlertRaised", "looser"), looser), 2, []string{"compatible; breaking", "breaks consumers: /eventId is no longer required"}},
		"nobody's":             {write("nobody", contract("Nobodys", "nobody"), "{}"), 3, []string{"indeterminate", "looked at 0 of 0 events of any version"}},
		"no contract":          {write("wrong", "type: x\nversion: 1\nschmea: y\n", ""), 4, []string{"line 3"}},
	} {
		said := i.Annals(t, "contracts", "check", c.path, "--days", "36500", "--limit", "200")
		for _, part := range c.says {
			if !strings.Contains(string(said.Out)+said.Err, part) {
				t.Errorf("%s: lacks %q:\n%s%s", name, part, said.Out, said.Err)
			}
		}
		if said.Code != c.code {
			t.Errorf("%s: exit code %d, want %d:\n%s%s", name, said.Code, c.code, said.Out, said.Err)
		}
	}
	if said := i.Annals(t, "topics", "fx.risk.alerts"); said.Code != 0 || !strings.Contains(string(said.Out), "retention") {
		t.Errorf("annals topics: %+v", said)
	}
}
