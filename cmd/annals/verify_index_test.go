package main

import (
	"bytes"
	"strings"
	"testing"
)

// What could not be asked is not different: exit code 1 says that something differs.
func TestIndexThatCannotBeAskedIsIndeterminate(t *testing.T) {
	t.Setenv("ANNALS_LOG_LEVEL", "error")
	nowhere := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"not up":          {[]string{"verify", "--index", "--data-dir", nowhere}, 3, "not up"},
		"two things":      {[]string{"verify", "--index", "--archive"}, 4, "one thing at a time"},
		"a bag and index": {[]string{"verify", "--index", nowhere}, 4, "one thing at a time"},
		"a sample":        {[]string{"verify", "--index", "--sample", "5"}, 4, "compared whole"},
		"a topic alone":   {[]string{"verify", "--topic", "x"}, 4, "goes with --index"},
		"a bad pattern":   {[]string{"verify", "--index", "--topic", "["}, 4, "pattern"},
		"reindex, not up": {[]string{"reindex", "--data-dir", nowhere}, 1, "not up"},
	} {
		var out, errs bytes.Buffer
		if code := run(c.args, &out, &errs); code != c.code || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%s: code %d, want %d: %s%s", name, code, c.code, &out, &errs)
		}
	}
}
