package instance

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Said is what a command of the program printed, and its exit code.
type Said struct {
	Out  []byte
	Err  string
	Code int
}

// Annals runs a command, such as "trace", id; it fails the test only if the
// program cannot be run.
func (p *Programs) Annals(t testing.TB, args ...string) Said {
	t.Helper()
	var out, errs bytes.Buffer
	command := exec.Command(p.Path("annals"), args...)
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("annals %v: %v", args, err)
	}
	return Said{Out: out.Bytes(), Err: errs.String(), Code: command.ProcessState.ExitCode()}
}

// Annals runs a command that asks this instance.
func (i *Instance) Annals(t testing.TB, args ...string) Said {
	t.Helper()
	return i.Programs.Annals(t, append(args, "--data-dir", i.DataDir)...)
}

// JSON runs a command with --json and decodes what it prints; the test fails
// unless it ends well.
func (i *Instance) JSON(t testing.TB, into any, args ...string) {
	t.Helper()
	said := i.Annals(t, append(args, "--json")...)
	if said.Code != 0 {
		t.Fatalf("annals %v ends with code %d: %s", args, said.Code, said.Err)
	}
	if err := json.Unmarshal(said.Out, into); err != nil {
		t.Fatalf("annals %v prints no JSON: %v\n%.500s", args, err, said.Out)
	}
}

// Seal has everything sealed that the archiver holds.
func (i *Instance) Seal(t testing.TB) {
	t.Helper()
	if said := i.Annals(t, "seal", "--wait"); said.Code != 0 {
		t.Fatalf("annals seal --wait ends with code %d: %s", said.Code, said.Err)
	}
}

// Get asks a path of the web server and gives status and body.
func (i *Instance) Get(t testing.TB, path string) (status int, body []byte) {
	t.Helper()
	client := http.Client{Timeout: time.Minute}
	response, err := client.Get(i.Up.Web + path)
	if err != nil {
		t.Fatalf("get %s: %v", path, err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("get %s: %v", path, err)
	}
	return response.StatusCode, body
}

// Ask gets a path of the API, such as "/traces/…", and decodes the answer; the
// test fails unless it is one.
func (i *Instance) Ask(t testing.TB, path string, into any) {
	t.Helper()
	status, body := i.Get(t, "/api/v1"+path)
	if status != http.StatusOK {
		t.Fatalf("GET %s: status %d: %s", path, status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("GET %s: %v\n%.500s", path, err, body)
	}
}

// Long tells whether the long cases are asked for; they are skipped otherwise.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv("ANNALS_TEST_LONG") == "" {
		t.Skip("long: set ANNALS_TEST_LONG=1 to run it")
	}
}
