package producers_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/test/runtimes"
	"github.com/fx-risk-ai/annals/web/api"
)

// What a record that a client makes of an order has of the order's trace.
const (
	sameTrace = "the order's trace"
	ownTrace  = "a trace of its own"
	oneTrace  = "one new trace for the batch"
	forwarded = "a trace of its own, and the order's traceparent before its own"
)

// otelClient is a Kafka client as OpenTelemetry instruments it, and what it
// writes; the programs below otel/ write nothing themselves.
type otelClient struct {
	name                 string
	settings             func(*instance.Instance) (file, content string)
	command              func() ([]string, error)
	each, batch, forward string
}

var otelClients = []otelClient{
	{"kafkajs", nodeSettings, otelNode, sameTrace, oneTrace, sameTrace},
	{"confluent-kafka", pythonSettings, otelPython("confluent.py"), ownTrace, oneTrace, forwarded},
	{"aiokafka", pythonSettings, otelPython("aio.py"), ownTrace, ownTrace, forwarded},
	{"kafka-clients", javaSettings, otelJava, sameTrace, ownTrace, sameTrace},
}

func otelNode() ([]string, error) {
	return runtimes.NodeScript("producer-otel-node", "otel/node", "chain.cjs")
}

func otelPython(script string) func() ([]string, error) {
	return func() ([]string, error) {
		interpreter, err := runtimes.Python("producer-otel-python", "otel/python")
		return []string{interpreter, filepath.Join("otel", "python", script)}, err
	}
}

func otelJava() ([]string, error) {
	dir, err := runtimes.JavaJars("producer-otel-java", "otel/java")
	if err != nil {
		return nil, err
	}
	jars, err := filepath.Glob(filepath.Join(dir, "*.jar"))
	if err != nil {
		return nil, err
	}
	agent := ""
	jars = slices.DeleteFunc(jars, func(jar string) bool {
		is := strings.HasPrefix(filepath.Base(jar), "opentelemetry-javaagent-")
		if is {
			agent = jar
		}
		return is
	})
	command := []string{"java", "-XX:TieredStopAtLevel=1", "-Xshare:off", "-javaagent:" + agent, "-Dotel.javaagent.enabled=true"}
	for _, signal := range []string{"traces", "metrics", "logs"} {
		command = append(command, "-Dotel."+signal+".exporter=none")
	}
	return append(command, "-cp", strings.Join(jars, string(os.PathListSeparator)), filepath.Join("otel", "java", "Chain.java")), nil
}

// otelSteps are the topics of a client: two orders, and what was made of each.
var otelSteps = []string{"orders", "each", "batch", "forward"}

// written is a record of a client, and what is read of it.
type written struct {
	*kgo.Record
	schema.Extraction
}

// traceparents gives the headers of that name, in their order.
func (w written) traceparents() (all []string) {
	for _, h := range w.Record.Headers {
		if strings.EqualFold(h.Key, "traceparent") {
			all = append(all, string(h.Value))
		}
	}
	return all
}

// TestOpenTelemetryClientsAreTraced has clients that only OpenTelemetry makes
// write headers consume and produce, and holds what they write, what Annals
// reads of it, and what it answers.
func TestOpenTelemetryClientsAreTraced(t *testing.T) {
	instance.NeedsClickHouse(t)
	programs := instance.Built(t)
	i := programs.Start(t, instance.Options{})
	for _, c := range otelClients {
		t.Run(c.name, func(t *testing.T) {
			command, err := c.command()
			if errors.Is(err, runtimes.ErrMissing) {
				t.Skip(err)
			} else if err != nil {
				t.Fatal(err)
			}
			all := c.run(t, i, command)
			c.holds(t, all)
			i.Settled(t)
			c.answers(t, i, all)
		})
	}
}

// run has the client write, and reads from Kafka what it wrote: by step, in the
// order of the keys.
func (c otelClient) run(t *testing.T, i *instance.Instance, command []string) map[string][]written {
	t.Helper()
	var topics []string
	for _, step := range otelSteps {
		topics = append(topics, c.name+"."+step)
	}
	made, err := kadm.NewClient(i.Client(t)).CreateTopics(t.Context(), 1, 1, nil, topics...)
	if err := errors.Join(err, made.Error()); err != nil {
		t.Fatal(err)
	}
	name, content := c.settings(i)
	settings := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(settings, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), runTime)
	defer cancel()
	if err := runtimes.Run(ctx, "", command[0], append(command[1:], settings, c.name)...); err != nil {
		t.Fatal(err)
	}
	all := map[string][]written{}
	for at, stored := range i.Stored(t, topics...) {
		step := strings.TrimPrefix(at.Topic, c.name+".")
		for _, r := range stored.Records {
			all[step] = append(all[step], written{r, extraction(t, record(r.Topic, r.Headers))})
		}
		slices.SortFunc(all[step], func(a, b written) int { return strings.Compare(string(a.Record.Key), string(b.Record.Key)) })
	}
	for _, step := range otelSteps {
		if len(all[step]) != 2 {
			t.Fatalf("%d records in %s.%s, want 2", len(all[step]), c.name, step)
		}
	}
	return all
}

// holds compares the records with what the client is said to write.
func (c otelClient) holds(t *testing.T, all map[string][]written) {
	t.Helper()
	for step, records := range all {
		for n, w := range records {
			parents := w.traceparents()
			if len(parents) == 0 || len(w.Errors) > 0 || w.EventID != "" || w.SourceService != "" || len(w.Causes) > 0 {
				t.Fatalf("%s %d: of headers %v is read %+v", step, n, w.Record.Headers, w.Extraction)
			}
			if own := "-" + w.TraceID + "-" + w.SpanID + "-"; w.TraceID == "" || !strings.Contains(parents[len(parents)-1], own) {
				t.Errorf("%s %d: the last of %q is the record's own; read are %s and %s", step, n, parents, w.TraceID, w.SpanID)
			}
		}
	}
	for step, want := range map[string]string{"each": c.each, "batch": c.batch, "forward": c.forward} {
		if got := relation(all["orders"], all[step]); got != want {
			t.Errorf("%s has %s, want %s", step, got, want)
		}
	}
}

// relation says what the records of a step have of the orders' traces.
func relation(orders, records []written) string {
	said := map[string]bool{}
	for n, w := range records {
		order := orders[n]
		refers := slices.Contains(w.Identifiers, schema.Identifier{Kind: schema.RefTrace, ID: order.TraceID}) &&
			slices.Contains(w.Identifiers, schema.Identifier{Kind: schema.RefSpan, ID: order.SpanID})
		switch parents := w.traceparents(); {
		case w.SpanID == order.SpanID:
			said["the order's span, which is not its own"] = true
		case w.TraceID == order.TraceID && len(parents) == 1:
			said[sameTrace] = true
		case len(parents) == 2 && parents[0] == order.traceparents()[0] && refers:
			said[forwarded] = true
		case len(parents) == 1 && !refers && w.TraceID == records[1-n].TraceID:
			said[oneTrace] = true
		case len(parents) == 1 && !refers:
			said[ownTrace] = true
		default:
			said[fmt.Sprintf("something else: %q", parents)] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(said)), ", and ")
}

// answers asks Annals for the first order's trace, and for its span.
func (c otelClient) answers(t *testing.T, i *instance.Instance, all map[string][]written) {
	t.Helper()
	order := all["orders"][0]
	var want []string
	for _, records := range all {
		for _, w := range records {
			if w.TraceID == order.TraceID {
				want = append(want, fmt.Sprintf("%s/%d/%d", w.Topic, w.Partition, w.Record.Offset))
			}
		}
	}
	var trace api.Trace
	i.JSON(t, &trace, "trace", order.TraceID)
	var got []string
	for _, hop := range trace.Hops {
		if hop.TraceId == order.TraceID {
			got = append(got, place(hop.Coordinates))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the order's trace has the hops %v, want %v", got, want)
	}
	for _, edge := range trace.Edges {
		if edge.Declared && c.forward != forwarded {
			t.Errorf("nobody declared an edge, but the trace has one by %s", edge.Rule)
		}
	}
	roles := map[string]string{}
	var found api.Identification
	i.Ask(t, "/identify?id="+url.QueryEscape(order.SpanID), &found)
	for _, m := range found.Matches {
		for _, hit := range *m.Records {
			roles[hit.Coordinates.Topic] += m.Role
		}
	}
	wanted := map[string]string{c.name + ".orders": schema.IDSpan.String()}
	if c.forward == forwarded { // the header that was passed on leads from the order to it
		wanted[c.name+".forward"] = schema.RefSpan.String()
	}
	if !maps.Equal(roles, wanted) {
		t.Errorf("the order's span is in %v, want %v", roles, wanted)
	}
}
