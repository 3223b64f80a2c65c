package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/internal/registry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/runtimes"
)

// The newest Apicurio that runs on Java 17; Confluent's registry is in no public
// repository.
const (
	apicurio      = "io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all"
	apicurioJava  = 17
	apicurioStart = 2 * time.Minute
)

// newApicurio is a rig with a real registry, its schemas in memory, and the
// process that it runs in.
func newApicurio(t *testing.T) (*rig, *exec.Cmd) {
	t.Helper()
	err := runtimes.Java(apicurioJava)
	dir := ""
	if err == nil {
		dir, err = runtimes.MavenArchive("apicurio", apicurio)
	}
	if errors.Is(err, runtimes.ErrMissing) {
		t.Skip(err)
	}
	must(t, err)
	jars, err := filepath.Glob(filepath.Join(dir, "*-runner.jar"))
	if err != nil || len(jars) != 1 {
		t.Fatalf("in %s there are the programs %v, %v", dir, jars, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	must(t, listener.Close())
	var said bytes.Buffer
	process := exec.Command("java", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1", fmt.Sprintf("-Dquarkus.http.port=%d", port), "-jar", jars[0])
	process.Dir, process.Stdout, process.Stderr = dir, &said, &said
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, process.Start())
	t.Cleanup(func() {
		_ = process.Process.Kill() // it may have ended
		_ = process.Wait()
		if t.Failed() {
			t.Logf("the registry said at last:\n%s", said.Bytes()[max(0, said.Len()-4000):])
		}
	})
	target, err := url.Parse(fmt.Sprintf("http://127.0.0.1:%d/apis/ccompat/v7", port))
	must(t, err)
	r := &rig{store: objstoretest.Embedded(t), now: time.Unix(1_700_000_000, 0), timeout: time.Minute}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{Transport: transport, ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(q *httputil.ProxyRequest) {
		r.asked.Add(1)
		q.SetURL(target)
	}}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	r.url = server.URL
	r.api, err = sr.NewClient(sr.URLs(server.URL), sr.HTTPClient(server.Client()))
	must(t, err)
	for deadline := time.Now().Add(apicurioStart); ; time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := r.api.Subjects(ctx)
		cancel()
		if err == nil {
			return r, process
		}
		if time.Now().After(deadline) {
			t.Fatalf("the registry does not answer: %v", err)
		}
	}
}

// hang stops every thread of a process, and waits until they are.
func hang(t *testing.T, process *exec.Cmd) {
	t.Helper()
	must(t, process.Process.Signal(syscall.SIGSTOP))
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", process.Process.Pid))
		if err != nil || len(threads) == 0 {
			t.Skipf("the threads of another process cannot be seen here: %v", err)
		}
		running := slices.ContainsFunc(threads, func(thread string) bool {
			status, err := os.ReadFile(thread)
			return err == nil && !strings.Contains(string(status), "State:\tT")
		})
		if !running {
			return
		}
	}
	t.Fatal("it does not stop")
}

// A real registry: what it gives is decoded by, archived and read again without
// it; what it does not know, and that it hangs or is gone, is said on the record,
// within bounds.
func TestARealRegistry(t *testing.T) {
	r, process := newApicurio(t)
	r.decodesAndArchives(t)
	d := r.decoder(t, false)
	hasty := r.decoder(t, false, func(o *registry.Options) { o.Timeout = 2 * time.Second })
	read := func(d *registry.Decoder, id int) (schema.Extraction, time.Duration) {
		began := time.Now()
		return r.extract(t, d, &schema.Record{Topic: "t", Value: framed(id, 4, 'e', '1')}), time.Since(began)
	}
	t.Run("a GUID in a header", func(t *testing.T) { r.namedByGUID(t, d) })
	made := r.register(t, "late", sr.TypeAvro, `{"type":"record","name":"Late","fields":[{"name":"eventId","type":"string"}]}`)
	if x, _ := read(d, 4711); strings.Join(x.Errors, " ") != extract.SchemaUnknown {
		t.Errorf("of a schema that it does not have: %+v", x)
	}
	hang(t, process)
	if x, took := read(hasty, made.ID); strings.Join(x.Errors, " ") != extract.SchemaUnavailable || took > 10*time.Second {
		t.Errorf("while it hangs: after %s %+v", took, x)
	}
	must(t, process.Process.Signal(syscall.SIGCONT))
	r.now = r.now.Add(2 * time.Minute)
	if x, _ := read(d, made.ID); x.EventID != "e1" || len(x.Errors) > 0 {
		t.Errorf("once it goes on: %+v", x)
	}
	must(t, process.Process.Kill())
	_ = process.Wait() // it was killed
	if x, took := read(r.decoder(t, false), made.ID); x.EventID != "e1" || len(x.Errors) > 0 || took > 10*time.Second {
		t.Errorf("of the archive, once it is gone: after %s %+v", took, x)
	}
	if x, took := read(d, made.ID+1); strings.Join(x.Errors, " ") != extract.SchemaUnavailable || took > 10*time.Second {
		t.Errorf("of another, once it is gone: after %s %+v", took, x)
	}
}

// namedByGUID has a record name its schema by GUID. What a registry makes of one
// that gives them is held with srfake (TestDecodesAndArchives); one that has never
// heard of them holds nobody up, and knows no such schema.
func (r *rig) namedByGUID(t *testing.T, d *registry.Decoder) {
	t.Helper()
	x := r.extract(t, d, &schema.Record{
		Topic: "t", Value: []byte("\x04e1"),
		Headers: []schema.Header{{Name: "__value_schema_id", Value: append([]byte{1}, bytes.Repeat([]byte{7}, 16)...)}},
	})
	if strings.Join(x.Errors, " ") != extract.SchemaUnknown {
		t.Errorf("of a GUID that it does not have: %+v", x)
	}
	found, err := r.api.SchemaByVersion(t.Context(), "order", 1)
	must(t, err)
	if found.GUID == "" {
		t.Skip("this registry gives its schemas no GUIDs: neither Apicurio 2.6.13 nor 3.3.3 has /schemas/guids, by the API's version 7 or 8")
	}
	t.Errorf("the registry gives GUIDs now (%s): hold decoding by one here", found.GUID)
}
