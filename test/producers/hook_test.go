package producers_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/schema"
)

const module = "../../clients/go"

// TestModule runs the module's own tests, which ./... does not reach.
func TestModule(t *testing.T) {
	if said, err := goes(module, "test", "-count=1", "./...").CombinedOutput(); err != nil {
		t.Fatalf("go test of clients/go: %v\n%s", err, said)
	}
}

// TestModuleIsInStep holds the versions that both modules name together.
func TestModuleIsInStep(t *testing.T) {
	line := regexp.MustCompile(`(?m)^(?:require )?\s*(go|[a-z0-9.]+/\S+) v?(\d\S*)`)
	versions := func(file string) map[string]string {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, m := range line.FindAllStringSubmatch(string(raw), -1) {
			all[m[1]] = m[2]
		}
		return all
	}
	ours, theirs := versions("../../go.mod"), versions(filepath.Join(module, "go.mod"))
	for name, version := range theirs {
		if ours[name] != version {
			t.Errorf("clients/go has %s %s, the main module %q", name, version, ours[name])
		}
	}
	if len(theirs) < 3 || theirs["github.com/twmb/franz-go"] == "" {
		t.Errorf("of clients/go's go.mod %v was read", theirs)
	}
}

// goes makes a go command in a folder, built as everything here is.
func goes(dir string, args ...string) *exec.Cmd {
	command := exec.Command("go", args...)
	command.Dir, command.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	return command
}

// question and reply are the lines that clients/go/internal/headers takes and
// gives.
type question struct {
	Inputs  []*kgo.Record
	Record  *kgo.Record
	Event   event
	Service string
}

type event struct {
	ID, Type, Version, Service, TraceID, Stage string
}

type reply struct {
	Headers []kgo.RecordHeader
	Error   string
}

// hook is a running program that writes what the module writes. It is for one
// goroutine.
type hook struct {
	in  *json.Encoder
	out *json.Decoder
}

func newHook(t *testing.T) hook {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(t.TempDir(), "headers"))
	if err != nil {
		t.Fatal(err)
	}
	if said, err := goes(module, "build", "-o", program, "./internal/headers").CombinedOutput(); err != nil {
		t.Fatalf("build the hook's program: %v\n%s", err, said)
	}
	command := exec.Command(program)
	command.Stderr = os.Stderr
	in, err1 := command.StdinPipe()
	out, err2 := command.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := command.Wait(); err != nil {
			t.Errorf("the hook's program ends: %v", err)
		}
	})
	return hook{json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))}
}

func (h hook) ask(t interface{ Fatal(...any) }, q question) (r reply) {
	if err := h.in.Encode(q); err != nil {
		t.Fatal(err)
	}
	if err := h.out.Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// record is what Annals would archive.
func record(topic string, headers []kgo.RecordHeader) *schema.Record {
	r := &schema.Record{Topic: topic, Status: schema.Committed}
	for _, h := range headers {
		r.Headers = append(r.Headers, schema.Header{Name: h.Key, Value: h.Value})
	}
	return r
}

// names are what inputs call their ids and traces, in spellings and dialects,
// beside what is nothing of that.
var names = []string{
	"eventId", "event_id", "X-Event-Id", "ce_id", "ce_eventid", "messageId", "axon-message-id", "NServiceBus.MessageId", "id",
	"traceId", "X-Trace-Id", "traceparent", "Traceparent", "tenant",
	"causationId", "parent_event_id", "causationIds", "ce_causationid", "InitiatorId", "x-src-topic", "x-src-partition", "x-src-offset",
	"eventType", "sourceService", "ce_source", "timestamp", "x-lineage-stage",
}

const hexDigits = "0123456789abcdefABCDEF"

// value draws what a header may hold: ids as they are, and all that is none.
func value(t *rapid.T) []byte {
	trace := rapid.StringOfN(rapid.RuneFrom([]rune(hexDigits)), 32, 32, -1)
	switch rapid.IntRange(0, 9).Draw(t, "kind of value") {
	case 0, 1:
		return []byte(fmt.Sprintf("00-%s-%s-%s", trace.Draw(t, "trace"), trace.Draw(t, "span")[:16], rapid.SampledFrom([]string{"00", "01", "03"}).Draw(t, "flags")))
	case 2:
		return []byte(trace.Draw(t, "trace"))
	case 3:
		return []byte(`"` + rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "quoted") + `"`)
	case 4:
		return rapid.SampledFrom([][]byte{
			nil,
			{},
			[]byte(" "), []byte("\x00"), []byte("\xff\xfe"), []byte("a\u200bb"), []byte("\u00a0x"),
			[]byte(strings.Repeat("0", 32)), []byte("00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01"), []byte(strings.Repeat("y", 513)),
			[]byte(strings.Repeat("y", 512)), []byte("ff-" + strings.Repeat("1", 32) + "-00f067aa0ba902b7-01"),
			[]byte("01-" + strings.Repeat("1", 32) + "-00f067aa0ba902b7-01-more"), []byte(`""quoted twice""`),
		}).Draw(t, "odd")
	case 5:
		return rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "bytes")
	default:
		return []byte(rapid.StringMatching(`[a-z]{1,3}-[0-9]{1,3}`).Draw(t, "id"))
	}
}

func someHeaders(t *rapid.T, label string) []kgo.RecordHeader {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) kgo.RecordHeader {
		return kgo.RecordHeader{Key: rapid.SampledFrom(names).Draw(t, "name"), Value: value(t)}
	}), 0, 8).Draw(t, label)
}

// TestWhatTheHookWritesIsReadBack draws inputs as any producer may have written
// them and holds that the produced record names exactly these, by the ids that
// Annals reads of them.
func TestWhatTheHookWritesIsReadBack(t *testing.T) {
	tb := t
	h := newHook(t)
	var ids, traces, forwards, traceless int
	rapid.Check(t, func(t *rapid.T) {
		q := question{Record: &kgo.Record{Topic: "prices"}, Event: event{Type: "OrderPriced", Version: "2", Stage: "enrichment"}, Service: "pricing"}
		var want []schema.Cause
		var trace string
		add := func(kind schema.CauseKind, id string) {
			if cause := (schema.Cause{Kind: kind, ID: id}); !slices.Contains(want, cause) {
				want = append(want, cause)
			}
		}
		var records []string
		for range rapid.IntRange(0, 4).Draw(t, "inputs") {
			in := &kgo.Record{
				Topic: rapid.SampledFrom([]string{"orders", "rates.v1"}).Draw(t, "topic"), Partition: rapid.Int32Range(0, 3).Draw(t, "partition"),
				Offset: rapid.Int64Range(0, 1<<62).Draw(t, "offset"), Headers: someHeaders(t, "headers"),
			}
			if at := slices.IndexFunc(q.Inputs, func(r *kgo.Record) bool {
				return r.Topic == in.Topic && r.Partition == in.Partition && r.Offset == in.Offset
			}); at >= 0 {
				in = q.Inputs[at] // delivered again: there is one record at an offset
			}
			q.Inputs = append(q.Inputs, in)
			x := extraction(tb, record(in.Topic, in.Headers))
			if x.EventID != "" {
				add(schema.CauseEvent, x.EventID)
				ids++
			}
			if trace == "" {
				trace = x.TraceID
			}
			records = append(records, schema.Coordinates{Topic: in.Topic, Partition: in.Partition, Offset: in.Offset}.String())
		}
		for _, at := range records {
			add(schema.CauseRecord, at)
		}
		if len(q.Inputs) > 0 && rapid.Bool().Draw(t, "forwards headers") {
			q.Record.Headers = q.Inputs[rapid.IntRange(0, len(q.Inputs)-1).Draw(t, "of which")].Headers
			forwards++
		}
		r := h.ask(t, q)
		if r.Error != "" {
			t.Fatalf("refused: %s", r.Error)
		}
		x := extraction(tb, record("prices", r.Headers))
		if !slices.Equal(x.Causes, want) {
			t.Fatalf("causes %v, want %v\nheaders %s", x.Causes, want, r.Headers)
		}
		if x.EventType != "OrderPriced" || x.EventVersion != "2" || x.Stage != schema.StageEnrichment || !x.HasEventTime || x.EventID == "" || x.SourceService != "pricing" {
			t.Fatalf("of the contract is read %+v", x)
		}
		if slices.ContainsFunc(want, func(c schema.Cause) bool { return c.Kind == schema.CauseEvent && c.ID == x.EventID }) {
			t.Fatalf("the record has the event id %s of an input", x.EventID)
		}
		if trace != "" && x.TraceID != trace {
			t.Fatalf("trace %q, want %q", x.TraceID, trace)
		}
		if trace == "" {
			traceless++
		} else {
			traces++
		}
	})
	if ids == 0 || traces == 0 || forwards == 0 || traceless == 0 {
		t.Errorf("drawn were %d ids, %d traces, %d without, %d forwarded headers: not all that matters", ids, traces, traceless, forwards)
	}
}
