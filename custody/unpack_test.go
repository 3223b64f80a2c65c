package custody_test

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// tarOf makes a stream; contents are the names of the entries.
func tarOf(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(h.Name))
		}
		h.Mode = 0o644
		must(t, w.WriteHeader(&h))
		if h.Size > 0 {
			_, err := io.WriteString(w, h.Name)
			must(t, err)
		}
	}
	must(t, w.Close())
	return out.Bytes()
}

func TestHostileStreams(t *testing.T) {
	end := tar.Header{Name: "b/tagmanifest-sha256.txt"}
	file := func(name string) tar.Header { return tar.Header{Name: name} }
	for name, raw := range map[string][]byte{
		"above":           tarOf(t, file("b/../../evil"), end),
		"absolute":        tarOf(t, file("/evil"), end),
		"dots":            tarOf(t, file("b/./x"), end),
		"backslash":       tarOf(t, file(`b/..\evil`), end),
		"drive":           tarOf(t, file(`b/c:evil`), end),
		"control":         tarOf(t, file("b/a\nb"), end),
		"second folder":   tarOf(t, file("b/x"), file("c/x"), end),
		"no folder":       tarOf(t, file("x"), end),
		"twice":           tarOf(t, file("b/x"), file("b/x"), end),
		"twice but case":  tarOf(t, file("b/x"), file("b/X"), end),
		"file as folder":  tarOf(t, file("b/x"), file("b/x/y"), end),
		"symbolic link":   tarOf(t, tar.Header{Name: "b/x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, end),
		"hard link":       tarOf(t, tar.Header{Name: "b/x", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}, end),
		"device":          tarOf(t, tar.Header{Name: "b/x", Typeflag: tar.TypeChar}, end),
		"without its end": tarOf(t, file("b/x")),
		"empty":           nil,
		"noise":           bytes.Repeat([]byte("noise"), 1000),
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			dir := filepath.Join(home, "in", "bag")
			must(t, os.Mkdir(filepath.Dir(dir), 0o755))
			if err := custody.Unpack(t.Context(), bytes.NewReader(raw), dir); err == nil {
				t.Error("it was unpacked")
			}
			must(t, fs.WalkDir(os.DirFS(home), ".", func(path string, _ fs.DirEntry, err error) error {
				if path != "." && path != "in" {
					t.Errorf("it left %s", path)
				}
				return err
			}))
		})
	}
}

func TestUnpackIsWholeOrNotThere(t *testing.T) {
	a, _ := filled(t)
	var stream bytes.Buffer
	must(t, a.exporter(nil).Export(t.Context(), policy.Everything(), answer.ExportRequest{Topics: []string{"orders"}}, &stream))
	dir := filepath.Join(t.TempDir(), "bag")
	// Every cut but those in the zeros behind the last file.
	end := bytes.LastIndexFunc(stream.Bytes(), func(r rune) bool { return r != 0 })
	for cut := 0; cut < end; cut += 1 + end/40 {
		if err := custody.Unpack(t.Context(), bytes.NewReader(stream.Bytes()[:cut]), dir); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%d of %d bytes: %v", cut, stream.Len(), err)
		}
		if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) > 0 {
			t.Fatalf("%d bytes left %v, %v", cut, left, err)
		}
	}
	must(t, custody.Unpack(t.Context(), bytes.NewReader(stream.Bytes()), dir))
	sound(t, dir)
	for _, taken := range []string{dir, dir + "2"} {
		must(t, os.MkdirAll(dir+"2.partial", 0o755))
		if err := custody.Unpack(t.Context(), bytes.NewReader(stream.Bytes()), taken); schema.KindOf(err) != schema.Conflict {
			t.Errorf("%s: %v", taken, err)
		}
	}
}
