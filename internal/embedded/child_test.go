package embedded_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

// childEnv holds a childJob when this test binary runs as an engine's process
// that another test will kill.
const childEnv = "ANNALS_TEST_CHILD"

type childJob struct {
	Engine string // "kafka", "s3", or "lock" for the data directory's lock
	Dir    string
	Listen string
}

// TestChild is the child process's main. It serves until its stdin ends.
func TestChild(t *testing.T) {
	encoded := os.Getenv(childEnv)
	if encoded == "" {
		t.Skip("runs only as the child process of other tests")
	}
	var job childJob
	if err := json.Unmarshal([]byte(encoded), &job); err != nil {
		t.Fatal(err)
	}
	var addr string
	switch job.Engine {
	case "kafka":
		addr = startKafka(t, embedded.KafkaOptions{DataDir: job.Dir, Listen: job.Listen}).Addr()
	case "s3":
		addr = startS3(t, embedded.S3Options{DataDir: job.Dir, Listen: job.Listen}).Endpoint()
	case "lock":
		defer unlock(t, lockDir(t, job.Dir))
		addr = strconv.Itoa(os.Getpid())
	default:
		t.Fatalf("no engine %q", job.Engine)
	}
	fmt.Printf("\nserving %s\n", addr)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Fatal(err)
	}
}

// child is an engine in a process of its own.
type child struct {
	addr  string
	cmd   *exec.Cmd
	stdin io.Closer
}

func startChild(t testing.TB, job childJob) *child {
	t.Helper()
	encoded, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childEnv+"="+string(encoded))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, stdin: stdin}
	t.Cleanup(c.kill)
	var said []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if addr, ok := strings.CutPrefix(lines.Text(), "serving "); ok {
			c.addr = addr
			return c
		}
		said = append(said, lines.Text())
	}
	t.Fatalf("child did not start:\n%s", strings.Join(said, "\n"))
	return nil
}

// kill is kill -9, and waits. It may be called again.
func (c *child) kill() {
	if c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Kill() // it may have ended
	_ = c.cmd.Wait()         // reports the kill
}

// stop ends the child cleanly.
func (c *child) stop(t testing.TB) {
	t.Helper()
	if err := errors.Join(c.stdin.Close(), c.cmd.Wait()); err != nil {
		t.Errorf("child did not end cleanly: %v", err)
	}
}

// residentMiB is the child's resident memory.
func (c *child) residentMiB(t testing.TB) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib / 1024
}
