package lint

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"reflect"
	"slices"
	"strings"
)

// Unread finds fields of the struct named Config, and of the structs of its
// package below it, that no selector in the command's files reads or sets: an
// option that is accepted and does nothing. A method of the settings that the
// command calls reads for it. settings and command are the files of two
// packages; settingsPath is how the second imports the first.
func Unread(settingsPath string, settings, command []File) ([]Finding, error) {
	set := token.NewFileSet()
	known := partly{}
	declared, own, err := check(set, settingsPath, settings, known)
	if err != nil {
		return nil, err
	}
	known[settingsPath] = declared
	_, uses, err := check(set, "command", command, known)
	if err != nil {
		return nil, err
	}
	root := declared.Scope().Lookup("Config")
	if root == nil {
		return nil, fmt.Errorf("%s declares no Config", settingsPath)
	}
	used := map[types.Object]bool{}
	for _, selection := range uses.Selections {
		used[selection.Obj()] = true
		method, ok := selection.Obj().(*types.Func)
		if !ok || method.Pkg() != declared {
			continue
		}
		for at, read := range own.Selections {
			if method.Scope().Contains(at.Pos()) {
				used[read.Obj()] = true
			}
		}
	}
	return unreadFields(root.Type(), "Config", used), nil
}

// unreadFields walks the settings; a struct of another package counts as one
// value.
func unreadFields(t types.Type, name string, used map[types.Object]bool) []Finding {
	structure := t.Underlying().(*types.Struct)
	// The file that holds a secret is read where settings are loaded.
	files := map[string]bool{}
	for i := range structure.NumFields() {
		if file, ok := reflect.StructTag(structure.Tag(i)).Lookup("file"); ok {
			files[file] = true
		}
	}
	var findings []Finding
	for i := range structure.NumFields() {
		field := structure.Field(i)
		below, isSection := field.Type().Underlying().(*types.Struct)
		isSection = isSection && below.NumFields() > 0 && below.Field(0).Exported()
		switch {
		case isSection:
			findings = append(findings, unreadFields(field.Type(), name+"."+field.Name(), used)...)
		case !used[field] && !files[reflect.StructTag(structure.Tag(i)).Get("yaml")]:
			findings = append(findings, Finding{name + "." + field.Name(), "is an option that nothing reads: use it or remove it"})
		}
	}
	return findings
}

// partly is an importer that knows some packages and gives empty ones for the
// rest: what they declare does not matter here, and loading them would take the
// time of a build.
type partly map[string]*types.Package

func (p partly) Import(importPath string) (*types.Package, error) {
	if known := p[importPath]; known != nil {
		return known, nil
	}
	empty := types.NewPackage(importPath, path.Base(importPath))
	empty.MarkComplete()
	return empty, nil
}

// check finds out the types of a package as far as its imports are known.
func check(set *token.FileSet, packagePath string, files []File, imports partly) (*types.Package, *types.Info, error) {
	var parsed []*ast.File
	for _, f := range files {
		if strings.HasSuffix(f.Path, "_test.go") || path.Ext(f.Path) != ".go" {
			continue
		}
		file, err := parser.ParseFile(set, f.Path, f.Content, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		parsed = append(parsed, file)
	}
	if len(parsed) == 0 {
		return nil, nil, errors.New("no Go files of " + packagePath)
	}
	info := &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}}
	// Names of packages that are not loaded are errors; they are expected.
	config := types.Config{Importer: imports, Error: func(error) {}}
	checked, err := config.Check(packagePath, set, parsed, info)
	if checked == nil {
		return nil, nil, err
	}
	return checked, info, nil
}

// Below keeps the files directly in a folder.
func Below(files []File, folder string) []File {
	return slices.DeleteFunc(slices.Clone(files), func(f File) bool { return path.Dir(f.Path) != folder })
}
