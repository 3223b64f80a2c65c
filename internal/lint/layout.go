package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
)

// Limits on length, in lines. Generated files are exempt.
const (
	MaxFileLines     = 600
	MaxFunctionLines = 80
)

// vagueNames say nothing about what a package or file holds.
var vagueNames = []string{
	"common", "commons", "helper", "helpers", "manager", "managers", "misc",
	"miscellaneous", "util", "utils", "utilities", "stuff",
}

// Documented finds packages without a package comment, and libraries whose
// comment does not stand in a doc.go; commands have theirs where main is.
func Documented(p Package) []Finding {
	if len(p.Files) == 0 {
		return nil // only tests
	}
	library := !within(p.Path, "cmd") && !p.TestOnly()
	if library && !slices.Contains(p.Files, "doc.go") {
		return []Finding{{p.Path, "has no doc.go that says what it promises and what it does not"}}
	}
	if p.Doc == "" {
		return []Finding{{p.Path, "has no package comment"}}
	}
	return nil
}

// NoCgo finds packages that need a C compiler.
func NoCgo(p Package) []Finding {
	if len(p.CgoFiles) > 0 {
		return []Finding{{p.Path, "uses cgo in " + strings.Join(p.CgoFiles, ", ")}}
	}
	return nil
}

// Named finds folders and files with a name that says nothing.
func Named(f File) []Finding {
	var findings []Finding
	for part := range strings.SplitSeq(f.Path, "/") {
		stem, _, _ := strings.Cut(part, ".")
		stem = strings.TrimSuffix(stem, "_test")
		for word := range strings.FieldsFuncSeq(stem, func(r rune) bool { return r == '_' || r == '-' }) {
			if slices.Contains(vagueNames, strings.ToLower(word)) {
				findings = append(findings, Finding{f.Path, fmt.Sprintf("%q says nothing about what is inside", part)})
			}
		}
	}
	return findings
}

// Short finds files and Go functions over the limits.
func Short(f File) []Finding {
	if f.Generated {
		return nil
	}
	var findings []Finding
	if n := bytes.Count(f.Content, []byte("\n")); n > MaxFileLines {
		findings = append(findings, Finding{f.Path, fmt.Sprintf("has %d lines; the limit is %d", n, MaxFileLines)})
	}
	return append(findings, functions(f, func(set *token.FileSet, fn *ast.FuncDecl) string {
		if n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1; n > MaxFunctionLines {
			return fmt.Sprintf("func %s has %d lines; the limit is %d", fn.Name.Name, n, MaxFunctionLines)
		}
		return ""
	})...)
}

// NoInit finds functions that run before main and cannot be passed anything.
func NoInit(f File) []Finding {
	if f.Generated {
		return nil
	}
	return functions(f, func(_ *token.FileSet, fn *ast.FuncDecl) string {
		if fn.Recv == nil && fn.Name.Name == "init" {
			return "func init runs unseen; call it from where it is needed"
		}
		return ""
	})
}

// OneErrKey finds log lines whose error stands under another key than err, where
// whoever searches the logs does not find it.
func OneErrKey(f File) []Finding {
	if f.Generated || strings.HasSuffix(f.Path, "_test.go") {
		return nil
	}
	return functions(f, func(set *token.FileSet, fn *ast.FuncDecl) (what string) {
		ast.Inspect(fn, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "With", "Log", "DebugContext", "InfoContext", "WarnContext", "ErrorContext"}, method.Sel.Name) {
				return true
			}
			for _, argument := range call.Args[min(1, len(call.Args)):] {
				if literal, ok := argument.(*ast.BasicLit); ok && literal.Value == `"error"` {
					what = fmt.Sprintf("func %s logs an error under the key error; all others have err", fn.Name.Name)
				}
			}
			return true
		})
		return what
	})
}

// functions asks judge about every function of a Go file.
func functions(f File, judge func(*token.FileSet, *ast.FuncDecl) string) []Finding {
	if path.Ext(f.Path) != ".go" {
		return nil
	}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, f.Path, f.Content, parser.SkipObjectResolution)
	if err != nil {
		return []Finding{{f.Path, "does not parse: " + err.Error()}}
	}
	var findings []Finding
	for _, declaration := range parsed.Decls {
		fn, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if what := judge(set, fn); what != "" {
			where := fmt.Sprintf("%s:%d", f.Path, set.Position(fn.Pos()).Line)
			findings = append(findings, Finding{where, what})
		}
	}
	return findings
}
