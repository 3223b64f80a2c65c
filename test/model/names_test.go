package model

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// transition names a step, in traces as in the code and the documents.
type transition uint8

const (
	open transition = iota
	guard
	diverge
	take
	decide
	cut
	putSegment
	putCommit
	resolve
	settle
	release
	lost
	discard
	keepBuffer
	lookAgain

	placeHold
	endChain
	compactPlan
	compactPut
	compactCommit
	compactRetry
	purgeRead
	purgeCommit
	purgeDelete
	collectRead
	collectDelete
	collectEnd
	readView
	readEnd

	produce
	electOther
	electSame
	retain
	arrive
	drop
	repeat
	age

	transitions
)

var names = [transitions]string{
	"open", "guard", "diverge", "take", "decide", "cut", "putSegment", "putCommit", "resolve", "settle", "release", "lost",
	"discard", "keepBuffer", "lookAgain", "hold", "endChain", "compactPlan", "compactPut", "compactCommit", "compactRetry", "purgeRead",
	"purgeCommit", "purgeDelete", "collectRead", "collectDelete", "collectEnd", "readView", "readEnd", "produce",
	"electOther", "electSame", "retain", "arrive", "drop", "repeat", "age",
}

func (t transition) String() string { return names[t] }

const (
	unbuilt = "not yet built"
	outside = "outside: "
)

// documented reads doc.go's list: what does each transition.
func documented(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(file.Doc.Text(), "# Transitions")
	list, _, ended := strings.Cut(list, "# Files")
	if !found || !ended {
		t.Fatal("doc.go has no list of transitions")
	}
	does := map[string]string{}
	for line := range strings.Lines(list) {
		if name, what, ok := strings.Cut(strings.TrimPrefix(line, "\t"), "  "); ok && strings.HasPrefix(line, "\t") {
			if does[name] != "" {
				t.Errorf("doc.go lists %s twice", name)
			}
			does[name] = strings.TrimSpace(what)
		}
	}
	return does
}

// TestTransitionsAreTheCode holds doc.go's list against the model, and the
// functions that it names against the source.
func TestTransitionsAreTheCode(t *testing.T) {
	does := documented(t)
	for _, name := range names {
		what := does[name]
		delete(does, name)
		switch {
		case what == "":
			t.Errorf("doc.go does not say what does the transition %q", name)
		case strings.HasPrefix(what, outside):
		case what == unbuilt:
			if where := built(t, name); where != "" {
				t.Errorf("doc.go says that %s is not yet built; %s looks like it: name what does it, and compare it with the model", name, where)
			}
		default:
			for place := range strings.SplitSeq(what, ", ") {
				file, function, _ := strings.Cut(place, " ")
				if !slices.Contains(functions(t, filepath.Join("..", "..", filepath.FromSlash(file))), function) {
					t.Errorf("%s: doc.go names %s in %s, which is not there: name what does it now", name, function, file)
				}
			}
		}
	}
	for name := range does {
		t.Errorf("doc.go lists %q, which is no transition", name)
	}
}

// evidence is what source has that does any of a family's transitions.
var evidence = map[string]string{
	"compact": "schema.KindCompaction, ", "purge": "schema.KindPurge, ", "collect": ".store.Delete(ctx, ",
}

// built finds a function of the packages that write commits which has a
// transition's name, or source that does what its family is for.
func built(t *testing.T, name string) string {
	t.Helper()
	for _, folder := range []string{"archiver", "custody"} {
		files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(folder), "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no source in %s: %v", folder, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, function := range functions(t, file) {
				if strings.EqualFold(function[strings.Index(function, ".")+1:], name) {
					return folder + " " + function
				}
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for family, sign := range evidence {
				if strings.HasPrefix(name, family) && strings.Contains(string(source), sign) {
					return file
				}
			}
		}
	}
	return ""
}

// functions lists a file's functions, methods as Type.method.
func functions(t *testing.T, file string) (list []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Errorf("read source: %v", err)
		return nil
	}
	for _, declaration := range parsed.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := f.Name.Name
		if f.Recv != nil {
			of := f.Recv.List[0].Type
			if pointer, ok := of.(*ast.StarExpr); ok {
				of = pointer.X
			}
			if of, ok := of.(*ast.Ident); ok {
				name = of.Name + "." + name
			}
		}
		list = append(list, name)
	}
	return list
}
