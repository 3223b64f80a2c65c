package custody

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestFormatIsWrittenDown holds files and fields of a bag against bag.md.
func TestFormatIsWrittenDown(t *testing.T) {
	page, err := os.ReadFile("../docs/formats/bag.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{Format, bagitFile, infoFile, infoDigest, manifestFile, tagManifestFile, scopeFile, linesFile, reportFile}
	for _, kept := range []any{scope{}, incarnation{}, query{}, streamScope{}, statement{}, chainHead{}, gap{}, fileScope{}, source{}} {
		for i := range reflect.TypeOf(kept).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(kept).Field(i).Tag.Get("json"), ",")
			if name != "" {
				want = append(want, name)
			}
		}
	}
	for _, text := range want {
		if !strings.Contains(string(page), "`"+text+"`") {
			t.Errorf("bag.md lacks `%s`", text)
		}
	}
}
