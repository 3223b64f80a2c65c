package doctor_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/doctor"
)

// TestTheGuideHasEveryCheck holds the guide's headings against the catalogue.
func TestTheGuideHasEveryCheck(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guides/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	asks := map[string]string{}
	for _, match := range regexp.MustCompile("(?m)^### `([^`]+)`\n\n(.*)$").FindAllStringSubmatch(string(guide), -1) {
		asks[match[1]] = match[2]
	}
	for _, e := range doctor.Catalog() {
		if !strings.HasPrefix(asks[e.Name], e.Asks) {
			t.Errorf("the guide's %s begins with %q, want %q", e.Name, asks[e.Name], e.Asks)
		}
		delete(asks, e.Name)
	}
	for name := range asks {
		t.Errorf("the guide explains %s, which nobody checks", name)
	}
}
