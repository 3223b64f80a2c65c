package lint

import (
	"debug/elf"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Free finds a dependency of p on a library, however indirect.
func Free(p Package, library string) []Finding {
	for _, dependency := range p.Dependencies {
		if within(dependency, library) {
			return []Finding{{p.Path, "depends on " + dependency}}
		}
	}
	return nil
}

// Static finds what makes an ELF program need a dynamic loader: an interpreter
// or shared libraries.
func Static(file string) (findings []Finding, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open program: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		findings = append(findings, Finding{file, "names an interpreter (PT_INTERP)"})
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("read needed libraries: %w", err)
	}
	if len(libraries) > 0 {
		findings = append(findings, Finding{file, "needs " + strings.Join(libraries, ", ") + " (DT_NEEDED)"})
	}
	return findings, nil
}
