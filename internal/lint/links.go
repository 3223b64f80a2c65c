package lint

import (
	"path"
	"regexp"
	"strings"
)

// link matches a Markdown link and captures where it goes.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// Links finds links of a document that lead to no file. exists is asked with
// paths relative to the module's root; addresses on the web are not tried.
func Links(document File, exists func(path string) bool) []Finding {
	var findings []Finding
	for _, match := range link.FindAllSubmatch(document.Content, -1) {
		target, _, _ := strings.Cut(string(match[1]), "#")
		if target == "" || strings.Contains(target, ":") {
			continue
		}
		if !exists(path.Join(path.Dir(document.Path), target)) {
			findings = append(findings, Finding{document.Path, "links to " + target + ", which does not exist"})
		}
	}
	return findings
}
