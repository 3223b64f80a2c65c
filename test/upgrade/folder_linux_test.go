package upgrade_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/web/api"
)

// TestDataFoldersOfEarlierVersionsAreOpened starts annals up on each data folder
// that is kept, without its index, which is derived: the archive verifies, the
// index is made again, the trace answers as it did, and archiving goes on.
func TestDataFoldersOfEarlierVersionsAreOpened(t *testing.T) {
	folders, err := filepath.Glob("testdata/*.folder.tgz")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no data folders are kept: %v", err)
	}
	instance.NeedsClickHouse(t)
	programs := instance.Built(t)
	for _, path := range folders {
		t.Run(filepath.Base(path), func(t *testing.T) {
			raw, err := os.ReadFile(strings.TrimSuffix(path, ".folder.tgz") + ".json")
			must(t, err)
			var want kept
			must(t, json.Unmarshal(raw, &want))
			dir := filepath.Join(t.TempDir(), "data")
			unpackFolder(t, path, dir)
			i := programs.Start(t, instance.Options{DataDir: dir})
			if said := i.Annals(t, "verify", "--archive"); said.Code != 0 {
				t.Fatalf("annals verify --archive ends with code %d: %s%s", said.Code, said.Out, said.Err)
			}
			hops := func(want int) {
				t.Helper()
				embeddedtest.Eventually(t, time.Minute, func() error {
					var trace api.Trace
					status, body := i.Get(t, "/api/v1/traces/"+keptTrace)
					if status == http.StatusNotFound { // not indexed yet
						return errors.New(string(body))
					}
					must(t, json.Unmarshal(body, &trace))
					if len(trace.Hops) != want {
						return fmt.Errorf("the trace has %d hops, want %d: status %d", len(trace.Hops), want, status)
					}
					return nil
				})
			}
			hops(len(want.Values))
			client := i.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
			must(t, client.ProduceSync(t.Context(), &kgo.Record{
				Topic: keptTopic, Value: []byte("since"), Headers: []kgo.RecordHeader{{Key: "traceId", Value: []byte(keptTrace)}},
			}).FirstErr())
			hops(len(want.Values) + 1)
			i.Settled(t)
		})
	}
}

// packFolder writes a data folder with the attributes of its files, which the
// embedded S3 keeps its ETags in, but without the index and without what is of
// the running process.
func packFolder(t *testing.T, dir, path string) {
	var file bytes.Buffer
	zipped := gzip.NewWriter(&file)
	files := tar.NewWriter(zipped)
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		must(t, err)
		if name == "clickhouse" {
			return fs.SkipDir
		}
		info, err := entry.Info()
		must(t, err)
		if !entry.IsDir() && !info.Mode().IsRegular() {
			return nil // sockets and links are the process's
		}
		header, err := tar.FileInfoHeader(info, "")
		must(t, err)
		header.Name, header.Format, header.PAXRecords = filepath.ToSlash(name), tar.FormatPAX, attributes(t, path)
		header.Uid, header.Gid, header.Uname, header.Gname = 0, 0, "", ""
		must(t, files.WriteHeader(header))
		if entry.IsDir() {
			return nil
		}
		raw, err := os.ReadFile(path)
		must(t, err)
		_, err = files.Write(raw)
		return err
	}))
	must(t, files.Close())
	must(t, zipped.Close())
	must(t, os.WriteFile(path, file.Bytes(), 0o644))
}

// attributePrefix is under which tar keeps a file's extended attributes.
const attributePrefix = "SCHILY.xattr."

func attributes(t *testing.T, path string) map[string]string {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	must(t, err)
	records := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		must(t, err)
		records[attributePrefix+name] = string(value[:n])
	}
	return records
}

func unpackFolder(t *testing.T, path, dir string) {
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	must(t, err)
	must(t, os.MkdirAll(dir, 0o700))
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if err == io.EOF {
			return
		}
		must(t, err)
		if !filepath.IsLocal(header.Name) {
			t.Fatalf("%s holds %q", path, header.Name)
		}
		at := filepath.Join(dir, header.Name)
		if header.Typeflag == tar.TypeDir {
			must(t, os.MkdirAll(at, header.FileInfo().Mode().Perm()))
		} else {
			raw, err := io.ReadAll(files)
			must(t, err)
			must(t, os.WriteFile(at, raw, header.FileInfo().Mode().Perm()))
		}
		for name, value := range header.PAXRecords {
			if attribute, ok := strings.CutPrefix(name, attributePrefix); ok {
				must(t, unix.Setxattr(at, attribute, []byte(value), 0))
			}
		}
	}
}
