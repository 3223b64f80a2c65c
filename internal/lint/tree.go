package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Module is the path every import of ours begins with.
const Module = "github.com/fx-risk-ai/annals"

// Package is what the rules need to know of one package.
type Package struct {
	Path         string   // relative to the module: "internal/config"; "" is the root
	Doc          string   // first sentence of the package comment
	Files        []string // Go files without tests
	CgoFiles     []string
	Imports      []string // of Files, full import paths
	Dependencies []string // everything Files depend on; only where asked for
}

// TestOnly reports whether the package exists for tests: everything under test/
// and bench/, and packages named …test, which test files import.
func (p Package) TestOnly() bool {
	top, _, _ := strings.Cut(p.Path, "/")
	return top == "test" || top == "bench" || strings.HasSuffix(p.Path, "test")
}

// Finding is one breach of a rule.
type Finding struct {
	Where string
	What  string
}

// String joins both.
func (f Finding) String() string { return f.Where + ": " + f.What }

// listed is go list's JSON, as far as it is used.
type listed struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
	Deps       []string
	Standard   bool
	Error      *struct{ Err string }
}

// Packages runs go list in dir for the patterns. A package that cannot be
// loaded is an error.
func Packages(dir string, patterns ...string) ([]Package, error) {
	args := append([]string{"list", "-e", "-json=ImportPath,Doc,GoFiles,CgoFiles,Imports,Deps,Standard,Error"}, patterns...)
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as the programs are built, whatever the caller's shell says
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	var packages []Package
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var l listed
		if err := decoder.Decode(&l); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode go list: %w", err)
		}
		// A folder with tests only is no package for an importer; the rules
		// about files see it all the same.
		if l.Error != nil && len(l.GoFiles) > 0 {
			return nil, fmt.Errorf("load %s: %s", l.ImportPath, l.Error.Err)
		}
		path := strings.TrimPrefix(strings.TrimPrefix(l.ImportPath, Module), "/")
		packages = append(packages, Package{path, l.Doc, l.GoFiles, l.CgoFiles, l.Imports, l.Deps})
	}
}

// skippedFolders hold what is built, fetched or made by a run.
var skippedFolders = []string{"node_modules", "dist", "bin", "testdata", "annals-data"}

// File is one source file of the tree.
type File struct {
	Path      string // relative, with slashes
	Content   []byte
	Generated bool
}

// Files reads the source files below root: those that people write line by
// line.
func Files(root string) ([]File, error) {
	return walk(root, ".go", ".ts", ".tsx", ".mjs", ".js", ".css", ".sh")
}

// Documents reads the Markdown files below root.
func Documents(root string) ([]File, error) { return walk(root, ".md") }

// walk reads the files of some kinds below root.
func walk(root string, kinds ...string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || slices.Contains(skippedFolders, name)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || !slices.Contains(kinds, filepath.Ext(name)) {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files = append(files, File{filepath.ToSlash(relative), content, generated(name, content)})
		return nil
	})
	return files, err
}

// generated follows Go's convention for marking generated files, and knows our
// names for those in other languages.
func generated(name string, content []byte) bool {
	if strings.Contains(name, ".gen.") || strings.HasSuffix(name, ".d.ts") {
		return true
	}
	head, _, _ := bytes.Cut(content, []byte("\npackage "))
	for line := range bytes.Lines(head) {
		text := strings.TrimSpace(string(line))
		if strings.HasPrefix(text, "// Code generated ") && strings.HasSuffix(text, " DO NOT EDIT.") {
			return true
		}
	}
	return false
}
