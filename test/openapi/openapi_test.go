package openapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/test/runtimes"
)

const (
	document = "../../schema/openapi.yaml"
	trace    = "4bf92f3577b34da6a3ce929d0e0e4736"
	seconds  = 60 // that schemathesis may make requests for
)

// rig is a running instance with a few records, and what asks it.
type rig struct {
	*instance.Instance
	python string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	instance.NeedsClickHouse(t)
	python, err := runtimes.Python("openapi", ".")
	if errors.Is(err, runtimes.ErrMissing) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	programs := instance.Built(t)
	r := &rig{programs.Start(t, instance.Options{}), python}
	client := r.Client(t)
	made, err := kadm.NewClient(client).CreateTopics(t.Context(), 1, 1, nil, "orders")
	if err := errors.Join(err, made.Error()); err != nil {
		t.Fatal(err)
	}
	before := ""
	for n := range 5 {
		id := fmt.Sprintf("event-%d", n)
		record := &kgo.Record{Topic: "orders", Key: []byte("k"), Value: fmt.Appendf(nil, `{"order":{"total":%d}}`, n), Headers: []kgo.RecordHeader{
			{Key: "traceId", Value: []byte(trace)},
			{Key: "eventId", Value: []byte(id)},
			{Key: "eventType", Value: []byte("OrderPlaced")},
			{Key: "causationId", Value: []byte(before)},
		}}
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
		before = id
	}
	r.Settled(t)
	return r
}

// ask runs schemathesis on a document and gives what it says; well tells whether
// it found nothing.
func (r *rig) ask(t *testing.T, document string, args ...string) (said string, well bool) {
	t.Helper()
	known, err := json.Marshal(map[string]any{"trace_id": trace, "topic": "orders", "partition": 0, "offset": 3, "id": "event-2", "pointer": "/order/total", "q": "topic:orders payload:order"})
	if err != nil {
		t.Fatal(err)
	}
	hooks, err := filepath.Abs("hooks.py")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // where it keeps its reports
	settings := filepath.Join(dir, "schemathesis.toml")
	if err := os.WriteFile(settings, fmt.Appendf(nil, "hooks = %q\n", hooks), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	// One worker: with two, Python before 3.11.9 can fail to parse (its issue 106905).
	// positive_data_acceptance: that a time is after another, that a cursor is one
	// that was given and that of two parameters one is there no schema says, and
	// the answer to the rest is a 400 that does.
	command := exec.CommandContext(ctx, r.python, append([]string{
		"-m", "schemathesis.cli", "--config-file", settings, "run", document,
		"--url", r.Up.Web + "/api/v1", "--seed", "1", "--workers", "1", "--continue-on-failure", "--no-color",
		"--exclude-checks", "positive_data_acceptance", "--generation-database", "none", "--request-timeout", "60",
	}, args...)...)
	command.Dir, command.WaitDelay = dir, 5*time.Second
	command.Env = append(os.Environ(), "ANNALS_KNOWN="+string(known), "PYTHONDONTWRITEBYTECODE=1")
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("schemathesis: %v\n%s", err, out)
	}
	return string(out), err == nil
}

var (
	operations = regexp.MustCompile(`(?m)^ *operationId: `)
	tested     = regexp.MustCompile(`(?m)^ +Tested: (\d+)`)
	unchecked  = regexp.MustCompile(`Schema validation skipped|missing deserializer`)
)

// TestTheServerIsWhatItsDocumentSays asks a running server, and then again with a
// document that says something else.
func TestTheServerIsWhatItsDocumentSays(t *testing.T) {
	r := newRig(t)
	path, err := filepath.Abs(document)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("as it is", func(t *testing.T) {
		said, well := r.ask(t, path, "--max-time", fmt.Sprint(seconds))
		if !well {
			t.Errorf("schemathesis says:\n%s", said)
		}
		all := fmt.Sprint(len(operations.FindAll(raw, -1)))
		if n := tested.FindStringSubmatch(said); n == nil || n[1] != all {
			t.Errorf("of %s operations it tested %v:\n%s", all, n, said)
		}
		if unchecked.MatchString(said) {
			t.Errorf("it held not every answer to its schema:\n%s", said)
		}
	})
	t.Run("said otherwise", func(t *testing.T) {
		changed := string(raw)
		args := []string{"--phases", "fuzzing", "--mode", "positive", "--max-examples", "10"}
		for _, c := range otherwise {
			if n := strings.Count(changed, c.before); n != 1 {
				t.Fatalf("the document has %q %d times", c.before, n)
			}
			changed = strings.Replace(changed, c.before, c.after, 1)
			args = append(args, "--include-operation-id", c.operation)
		}
		path := filepath.Join(t.TempDir(), "openapi.yaml")
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		said, well := r.ask(t, path, args...)
		for _, c := range otherwise {
			if well || !strings.Contains(said, c.finds) {
				t.Errorf("%s: %s is not among what it found:\n%s", c.operation, c.finds, said)
			}
		}
	})
}

// otherwise are changes of the document that the server's answers do not agree
// with, each of an operation: a member that is not sent, a member of another type,
// and a line of NDJSON.
var otherwise = []struct{ operation, before, after, finds string }{
	{"getStatus", "    Status:\n      type: object\n      required: [", "    Status:\n      type: object\n      required: [never_sent, ", "never_sent"},
	{
		"identify", "        tried: {type: array, items: {type: string}, description: Spellings looked up}",
		"        tried: {type: array, items: {type: integer}, description: Spellings looked up}", `is not of type "integer"`,
	},
	{
		"scanRecords", "    ScanLine:\n      description: One of its members is there\n      type: object",
		"    ScanLine:\n      description: One of its members is there\n      type: object\n      required: [no_such_line]", "no_such_line",
	},
}
