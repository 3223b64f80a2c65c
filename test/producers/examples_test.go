package producers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/test/runtimes"
	"github.com/fx-risk-ai/annals/web/api"
)

// example is one language's way from orders to a shipment.
type example struct {
	language string
	settings func(*instance.Instance) (file, content string) // of the client, as its library takes them
	command  func() ([]string, error)
}

var examples = []example{
	{"java", javaSettings, javaRuns},
	{"python", pythonSettings, pythonRuns},
	{"node", nodeSettings, nodeRuns},
}

func javaSettings(i *instance.Instance) (file, content string) {
	k := i.Up.Kafka
	return "client.properties", fmt.Sprintf("bootstrap.servers=%s\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=%s\n"+
		"sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"%s\" password=\"%s\";\n",
		strings.Join(k.Brokers, ","), k.Mechanism, k.User, k.Password)
}

func pythonSettings(i *instance.Instance) (file, content string) {
	k := i.Up.Kafka
	raw, _ := json.Marshal(map[string]string{ // of strings: cannot fail
		"bootstrap.servers": strings.Join(k.Brokers, ","), "security.protocol": "SASL_PLAINTEXT",
		"sasl.mechanism": k.Mechanism, "sasl.username": k.User, "sasl.password": k.Password,
	})
	return "client.json", string(raw)
}

func nodeSettings(i *instance.Instance) (file, content string) {
	k := i.Up.Kafka
	raw, _ := json.Marshal(map[string]any{ // of strings: cannot fail
		"brokers": k.Brokers, "sasl": map[string]string{"mechanism": strings.ToLower(k.Mechanism), "username": k.User, "password": k.Password},
	})
	return "client.json", string(raw)
}

// Where the examples are, and how long one may run on a busy machine.
const (
	javaExample = "../../clients/examples/java"
	pyExample   = "../../clients/examples/python"
	nodeExample = "../../clients/examples/node"
	runTime     = 2 * time.Minute
)

// javaRuns gives the command that runs the Java example.
func javaRuns() ([]string, error) {
	jars, err := runtimes.JavaJars("producer-java", javaExample)
	if err != nil {
		return nil, err
	}
	return []string{"java", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(jars, "*"), filepath.Join(javaExample, "Shipment.java")}, nil
}

// pythonRuns gives the command that runs the Python example.
func pythonRuns() ([]string, error) {
	interpreter, err := runtimes.Python("producer-python", pyExample)
	if err != nil {
		return nil, err
	}
	return []string{interpreter, filepath.Join(pyExample, "shipment.py")}, nil
}

// nodeRuns gives the command that runs the Node example.
func nodeRuns() ([]string, error) {
	return runtimes.NodeScript("producer-node", nodeExample, "shipment.mjs")
}

// traces are those of the two orders of a shipment.
var traces = [2]string{"4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"}

// TestShipmentsAreTraced has each example, and the hook, make a shipment of two
// orders of different traces, and asks Annals what the shipment was made of.
func TestShipmentsAreTraced(t *testing.T) {
	instance.NeedsClickHouse(t)
	programs := instance.Built(t)
	i := programs.Start(t, instance.Options{})
	for _, e := range examples {
		t.Run(e.language, func(t *testing.T) {
			command, err := e.command()
			if errors.Is(err, runtimes.ErrMissing) {
				t.Skip(err)
			} else if err != nil {
				t.Fatal(err)
			}
			source, target := orders(t, i, e.language)
			name, content := e.settings(i)
			settings := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(settings, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), runTime)
			defer cancel()
			if err := runtimes.Run(ctx, "", command[0], append(command[1:], settings, source, target, "2")...); err != nil {
				t.Fatal(err)
			}
			traced(t, i, e.language)
		})
	}
	t.Run("go", func(t *testing.T) {
		source, target := orders(t, i, "go")
		var inputs []*kgo.Record
		for _, stored := range i.Stored(t, source) {
			for _, in := range stored.Records {
				inputs = append(inputs, &kgo.Record{Topic: in.Topic, Partition: in.Partition, Offset: in.Offset, Headers: in.Headers})
			}
		}
		shipment := &kgo.Record{Topic: target, Value: []byte(`{"orders":[1,2]}`)}
		r := newHook(t).ask(t, question{
			Inputs: inputs, Record: shipment, Event: event{Type: "ShipmentPlanned", Version: "1"}, Service: "shipping-go",
		})
		if r.Error != "" {
			t.Fatal(r.Error)
		}
		shipment.Headers = r.Headers
		if err := i.Client(t).ProduceSync(t.Context(), shipment).FirstErr(); err != nil {
			t.Fatal(err)
		}
		traced(t, i, "go")
	})
	t.Run("nothing said", func(t *testing.T) { silent(t, i) })
}

// silent holds that the edges of a shipment come from the headers: one that
// says nothing of its orders has no declared edge.
func silent(t *testing.T, i *instance.Instance) {
	_, target := orders(t, i, "silent")
	shipment := &kgo.Record{Topic: target, Value: []byte(`{"orders":[1,2]}`), Headers: []kgo.RecordHeader{
		{Key: "eventId", Value: []byte("silent-1")}, {Key: "traceId", Value: []byte(traces[0])},
	}}
	if err := i.Client(t).ProduceSync(t.Context(), shipment).FirstErr(); err != nil {
		t.Fatal(err)
	}
	i.Settled(t)
	var answer api.Trace
	i.JSON(t, &answer, "trace", traces[0])
	child := slices.IndexFunc(answer.Hops, func(h api.Hop) bool { return h.EventId == "silent-1" })
	if child < 0 {
		t.Fatalf("the shipment is not in its trace, which has %d hops", len(answer.Hops))
	}
	for _, edge := range answer.Edges {
		if edge.Child == child && edge.Declared {
			t.Errorf("a declared edge by %s", edge.Rule)
		}
	}
}

// orders makes a language's topics and writes two orders, each to a partition
// of its own.
func orders(t *testing.T, i *instance.Instance, language string) (source, target string) {
	t.Helper()
	source, target = "orders."+language, "shipments."+language
	client := i.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	made, err := kadm.NewClient(client).CreateTopics(t.Context(), 2, 1, nil, source, target)
	if err := errors.Join(err, made.Error()); err != nil {
		t.Fatal(err)
	}
	for n, trace := range traces {
		text := func(name, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: name, Value: []byte(value)} }
		order := &kgo.Record{Topic: source, Partition: int32(n), Value: fmt.Appendf(nil, `{"order":%d}`, n+1), Headers: []kgo.RecordHeader{
			text("eventId", orderID(language, n)), text("eventType", "OrderPlaced"), text("eventVersion", "1"),
			text("sourceService", "shop"), text("traceId", trace), text("timestamp", "2024-03-01T10:00:00Z"),
		}}
		if err := client.ProduceSync(t.Context(), order).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return source, target
}

func orderID(language string, n int) string { return "order-" + language + "-" + strconv.Itoa(n) }

// traced asks for the trace of a language's shipment and holds its edges.
func traced(t *testing.T, i *instance.Instance, language string) {
	t.Helper()
	var shipments []schema.Extraction
	for _, stored := range i.Stored(t, "shipments."+language) {
		for _, r := range stored.Records {
			shipments = append(shipments, extraction(t, record(r.Topic, r.Headers)))
		}
	}
	if len(shipments) != 1 {
		t.Fatalf("%d shipments were written", len(shipments))
	}
	x := shipments[0]
	if len(x.Errors) > 0 || x.EventID == "" || x.EventType != "ShipmentPlanned" || x.EventVersion != "1" ||
		x.SourceService != "shipping-"+language || !x.HasEventTime || !slices.Contains(traces[:], x.TraceID) {
		t.Errorf("of the shipment is read %+v", x)
	}
	i.Settled(t)
	var answer api.Trace
	i.JSON(t, &answer, "trace", x.TraceID)
	child := slices.IndexFunc(answer.Hops, func(h api.Hop) bool { return h.EventId == x.EventID })
	if child < 0 {
		t.Fatalf("the shipment is not in its trace, which has %d hops", len(answer.Hops))
	}
	var got []string
	for _, edge := range answer.Edges {
		if edge.Child != child {
			continue
		}
		at := "nowhere"
		switch {
		case edge.Parent != nil:
			at = place(answer.Hops[*edge.Parent].Coordinates)
		case edge.Outside != nil && !edge.Outside.Ghost && edge.Outside.Coordinates != nil:
			at = place(*edge.Outside.Coordinates)
		}
		got = append(got, fmt.Sprintf("%s by %s, declared %v", at, edge.Rule, edge.Declared))
	}
	var want []string
	for n := range traces {
		for _, rule := range []string{"causation id", "input coordinates"} {
			want = append(want, fmt.Sprintf("orders.%s/%d/0 by %s, declared true", language, n, rule))
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the shipment's edges are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if answer.Ghosts != nil && *answer.Ghosts > 0 {
		t.Errorf("%d ghosts", *answer.Ghosts)
	}
}

func place(at api.Coordinates) string {
	return fmt.Sprintf("%s/%d/%d", at.Topic, at.Partition, at.Offset)
}
