package lint

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// mapLine is a line of a package's map, "//	a.go, b_*.go  what they hold", and
// captures the names. A line that ends in a comma goes on in the next.
var mapLine = regexp.MustCompile(`(?m)^//\t([\w.*]+\.go(?:, *[\w.*]+\.go)*)(?:,$| +\S)`)

// otherList is a list of files in another form, which Mapped would not read.
var otherList = regexp.MustCompile(`(?m)^//(?: +- | ?Files: | *)[\w.*]+\.go(?:: |, | \()`)

// Mapped holds the map in a package's doc.go against its files: each file is
// named once, and nothing that is not there. A package without a map has none
// to keep; its tests may be named, and need not be.
func Mapped(doc File, beside []string) []Finding {
	if otherList.Match(doc.Content) {
		return []Finding{{doc.Path, "lists files as text; a map has a line for each, a tab and two spaces: //\tname.go  what"}}
	}
	var names []string
	for _, line := range mapLine.FindAllSubmatch(doc.Content, -1) {
		for name := range strings.SplitSeq(string(line[1]), ",") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	if len(names) == 0 {
		return nil
	}
	var findings []Finding
	for _, name := range names {
		if !slices.ContainsFunc(beside, func(file string) bool { return matches(name, file) }) {
			findings = append(findings, Finding{doc.Path, "names " + name + ", which is not there"})
		}
	}
	for _, file := range beside {
		if file == "doc.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		named := 0
		for _, name := range names {
			if matches(name, file) {
				named++
			}
		}
		if named == 0 {
			findings = append(findings, Finding{doc.Path, "does not name " + file})
		} else if named > 1 {
			findings = append(findings, Finding{doc.Path, "names " + file + " more than once"})
		}
	}
	return findings
}

func matches(pattern, file string) bool {
	ok, err := path.Match(pattern, file)
	return ok && err == nil
}
