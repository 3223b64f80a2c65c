package lint_test

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/lint"
)

// root is the module's folder, seen from this package.
var root = filepath.Join("..", "..")

func report(t *testing.T, findings []lint.Finding) {
	t.Helper()
	for _, f := range findings {
		t.Error(f)
	}
}

// TestPackagesKeepTheRules runs every rule about packages over the tree.
func TestPackagesKeepTheRules(t *testing.T) {
	packages, err := lint.Packages(root, "./...")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range packages {
		seen[p.Path] = true
		report(t, lint.Clients(p))
		report(t, lint.Direction(p))
		report(t, lint.Documented(p))
		report(t, lint.NoCgo(p))
	}
	if !seen["schema"] || !seen["internal/lint"] {
		t.Errorf("the tree was not read: %v", seen)
	}
}

// TestProducersModuleKeepsTheRules runs the rules over clients/go, a module of
// its own: what it requires is what every producer that uses it has to.
func TestProducersModuleKeepsTheRules(t *testing.T) {
	packages, err := lint.Packages(filepath.Join(root, "clients", "go"), "-deps", "./...")
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	for _, p := range packages {
		if first, _, _ := strings.Cut(p.Path, "/"); first != "clients" {
			if strings.Contains(first, ".") && !slices.ContainsFunc(producersNeed, func(module string) bool {
				return p.Path == module || strings.HasPrefix(p.Path, module+"/")
			}) {
				t.Errorf("clients/go brings %s along, which franz-go does not", p.Path)
			}
			continue
		}
		own++
		report(t, lint.Clients(p))
		report(t, lint.Direction(p))
		report(t, lint.Documented(p))
		report(t, lint.NoCgo(p))
	}
	if own < 2 {
		t.Errorf("%d packages of clients/go were read", own)
	}
}

// producersNeed is franz-go and what it is made of.
var producersNeed = []string{"github.com/twmb/franz-go", "github.com/klauspost/compress", "github.com/pierrec/lz4/v4"}

// TestFilesKeepTheRules runs every rule about files over the tree.
func TestFilesKeepTheRules(t *testing.T) {
	files, err := lint.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Errorf("only %d files: the tree was not read", len(files))
	}
	for _, f := range files {
		report(t, lint.Named(f))
		report(t, lint.Short(f))
		report(t, lint.NoInit(f))
		report(t, lint.OneErrKey(f))
	}
}

// TestMapsNameEveryFile holds the map of each doc.go against the files beside it.
func TestMapsNameEveryFile(t *testing.T) {
	files, err := lint.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	beside := map[string][]string{}
	for _, f := range files {
		if path.Ext(f.Path) == ".go" {
			beside[path.Dir(f.Path)] = append(beside[path.Dir(f.Path)], path.Base(f.Path))
		}
	}
	maps := 0
	for _, f := range files {
		if path.Base(f.Path) == "doc.go" {
			maps++
			report(t, lint.Mapped(f, beside[path.Dir(f.Path)]))
		}
	}
	if maps < 20 {
		t.Errorf("only %d maps were read", maps)
	}
}

// TestEveryOptionIsRead holds the settings against the commands that use them.
func TestEveryOptionIsRead(t *testing.T) {
	files, err := lint.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	command := lint.Below(files, "cmd/annals")
	if len(command) == 0 {
		t.Skip("cmd/annals does not exist yet")
	}
	findings, err := lint.Unread(lint.Module+"/internal/config", lint.Below(files, "internal/config"), command)
	if err != nil {
		t.Fatal(err)
	}
	report(t, findings)
}

// TestLinksLeadSomewhere follows the links between documents, and finds
// decisions that the list of decisions does not name.
func TestLinksLeadSomewhere(t *testing.T) {
	documents, err := lint.Documents(root)
	if err != nil {
		t.Fatal(err)
	}
	exists := func(path string) bool {
		_, err := os.Stat(filepath.Join(root, filepath.FromSlash(path)))
		return err == nil
	}
	var decisions []string
	list := ""
	for _, d := range documents {
		report(t, lint.Links(d, exists))
		if name, ok := strings.CutPrefix(d.Path, "docs/adr/0"); ok {
			decisions = append(decisions, "0"+name)
		}
		if d.Path == "docs/adr/README.md" {
			list = string(d.Content)
		}
	}
	if len(decisions) < 6 {
		t.Errorf("only %d decisions were found", len(decisions))
	}
	for _, name := range decisions {
		if !strings.Contains(list, "("+name+")") {
			t.Errorf("docs/adr/README.md does not list %s", name)
		}
	}
}

// TestAnnalsIsStatic builds cmd/annals as it is shipped, and looks into the
// program: it must run where there is no libc, so it must not load one.
func TestAnnalsIsStatic(t *testing.T) {
	if _, err := os.Stat(filepath.Join(root, "cmd", "annals")); os.IsNotExist(err) {
		t.Skip("cmd/annals does not exist yet")
	}
	packages, err := lint.Packages(root, "./cmd/annals")
	if err != nil || len(packages) != 1 {
		t.Fatalf("%d packages, %v", len(packages), err)
	}
	if len(packages[0].Dependencies) < 50 {
		t.Errorf("only %d dependencies were listed", len(packages[0].Dependencies))
	}
	report(t, lint.Free(packages[0], "github.com/ebitengine/purego"))
	report(t, lint.Free(packages[0], lint.Module+"/demo"))
	report(t, lint.Free(packages[0], "runtime/cgo"))
	findings, err := lint.Static(build(t, root, "./cmd/annals"))
	if err != nil {
		t.Fatal(err)
	}
	report(t, findings)
}

// build compiles a program for Linux without cgo and returns its path.
func build(t *testing.T, dir, pattern string) string {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(t.TempDir(), "program"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", program, pattern)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pattern, err, out)
	}
	return program
}
