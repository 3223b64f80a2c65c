package clients_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/test/runtimes"
	"github.com/fx-risk-ai/annals/web/api"
)

var (
	programs *instance.Programs
	shared   struct {
		once sync.Once
		dir  string
		up   *instance.Instance
		err  error
	}
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if err := runtimes.Node(); err == nil {
		if programs, err = instance.Build(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	code := m.Run()
	var errs []error
	if shared.up != nil {
		errs = append(errs, shared.up.Shut())
	}
	if shared.dir != "" {
		errs = append(errs, os.RemoveAll(shared.dir))
	}
	if programs != nil {
		errs = append(errs, programs.Remove())
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// scripts gives the folder with the scripts and the clients that they need.
var scripts = sync.OnceValues(func() (string, error) {
	return runtimes.NodeScripts("clients", ".", "up.mjs", "s3.mjs", "kafka.mjs", "clickhouse.mjs")
})

// loaded gives one year of the demo, sealed; it skips where something needed
// is not on this machine.
func loaded(t *testing.T) *instance.Instance {
	t.Helper()
	if _, err := scripts(); errors.Is(err, runtimes.ErrMissing) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	instance.NeedsClickHouse(t)
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "annals-clients-"); shared.err != nil {
			return
		}
		shared.up, shared.err = programs.Launch(instance.Options{
			DataDir: filepath.Join(shared.dir, "data"), Args: []string{"--demo", "--demo-years", "1", "--demo-no-live"},
		})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	shared.up.Says(t, "history loaded, indexed and sealed", 2*time.Minute)
	return shared.up
}

// script runs a script against the instance and decodes its answer.
func script(t testing.TB, i *instance.Instance, into any, name string, args ...string) {
	t.Helper()
	dir, err := scripts()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{filepath.Join(dir, name), filepath.Join(i.DataDir, embedded.UpFileName)}, args...)
	var errs bytes.Buffer
	command := exec.CommandContext(t.Context(), "node", args...)
	command.Stderr = &errs
	out, err := command.Output()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", name, err, errs.String())
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("node %s: %v in %.500s\n%s", name, err, out, errs.String())
	}
}

// TestAWSSDKReadsTheArchive lists and reads what `annals files` names.
func TestAWSSDKReadsTheArchive(t *testing.T) {
	i := loaded(t)
	var got struct {
		Objects map[string]struct {
			SHA256 string
			Bytes  int64
			Magic  string
		}
		Refused string
	}
	script(t, i, &got, "s3.mjs")
	prefix := ""
	if i.Up.S3.Prefix != "" {
		prefix = i.Up.S3.Prefix + "/"
	}
	named := 0
	for _, topic := range i.Topics(t) {
		var files api.SegmentList
		i.JSON(t, &files, "files", "--topic", topic)
		for _, file := range files.Segments {
			named++
			object, there := got.Objects[prefix+file.Key]
			if !there || object.SHA256 != file.Sha256 || object.Bytes != file.Bytes || object.Magic != "PAR1PAR1" {
				t.Errorf("%s: the SDK reads %+v, %d bytes with the hash %s are archived", file.Key, object, file.Bytes, file.Sha256)
			}
		}
	}
	if named == 0 || len(got.Objects) != named {
		t.Errorf("the SDK lists %d segments, annals files %d", len(got.Objects), named)
	}
	if got.Refused != "SignatureDoesNotMatch" {
		t.Errorf("a wrong key was answered with %q", got.Refused)
	}
}

// TestKafkaJSReadsATopic compares the committed records that kafkajs gets with
// those that franz-go gets.
func TestKafkaJSReadsATopic(t *testing.T) {
	i := loaded(t)
	const topic = "fx.risk.exposure"
	type record struct {
		Key, Value *string
		Headers    int
	}
	text := func(b []byte) *string {
		if b == nil {
			return nil
		}
		s := base64.StdEncoding.EncodeToString(b)
		return &s
	}
	want := map[string]record{}
	for place, s := range i.Stored(t, topic) {
		verdicts := s.Verdicts(t)
		for _, r := range s.Records {
			if verdicts[r.Offset] != "committed" {
				continue
			}
			distinct := map[string]bool{} // kafkajs keeps repeated names as one
			for _, h := range r.Headers {
				distinct[h.Key] = true
			}
			want[fmt.Sprintf("%s/%d/%d", place.Topic, place.Partition, r.Offset)] = record{text(r.Key), text(r.Value), len(distinct)}
		}
	}
	var got struct {
		Records map[string]record
		Refused string
	}
	script(t, i, &got, "kafka.mjs", topic, strconv.Itoa(len(want)))
	for at, w := range want {
		g, there := got.Records[at]
		if !there || g.Headers != w.Headers || !same(g.Key, w.Key) || !same(g.Value, w.Value) {
			t.Errorf("%s: kafkajs reads %+v, franz-go %+v", at, g, w)
		}
	}
	if len(want) == 0 || len(got.Records) != len(want) {
		t.Errorf("kafkajs reads %d committed records, franz-go %d", len(got.Records), len(want))
	}
	if got.Refused == "" {
		t.Error("a wrong password was let in")
	}
}

func same(a, b *string) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}

// TestClickHouseClientCountsTheIndex compares the index's counts with the
// ledger's.
func TestClickHouseClientCountsTheIndex(t *testing.T) {
	i := loaded(t)
	var got struct {
		Counts  map[string]int64
		Refused string
	}
	script(t, i, &got, "clickhouse.mjs")
	var answer api.Coverage
	i.JSON(t, &answer, "coverage")
	want := map[string]int64{}
	for _, p := range answer.Partitions {
		if p.Counts.Committed > 0 {
			want[p.Topic] += p.Counts.Committed
		}
	}
	if len(want) < 5 || fmt.Sprint(got.Counts) != fmt.Sprint(want) {
		t.Errorf("the index counts %v, the ledger %v", got.Counts, want)
	}
	if got.Refused == "" {
		t.Error("a wrong password was let in")
	}
}
