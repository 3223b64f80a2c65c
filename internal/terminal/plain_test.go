package terminal_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/fx-risk-ai/annals/internal/terminal"
)

func TestPlain(t *testing.T) {
	for given, want := range map[string]string{
		"text of people:\tä, 漢, \U0001f469\u200d\U0001f467\n": "text of people:\tä, 漢, \U0001f469\u200d\U0001f467\n",
		"\x1b[2J\x1b]0;title\a":                               `\x1b[2J\x1b]0;title\x07`,
		"good\rbad\b\x7f":                                     `good\rbad\x08\x7f`,
		"\u009b31m\u0085":                                     `\u009b31m\u0085`,
		"\x9b31m\xc3":                                         `\x9b31m\xc3`,
		"\u202eabc\u2066\u200f\u2028":                         `\u202eabc\u2066\u200f\u2028`,
		"a\x00b\ufffd":                                        `a\x00b` + "\ufffd",
	} {
		var out bytes.Buffer
		n, err := fmt.Fprint(terminal.Plain(&out), given)
		if err != nil || n != len(given) || out.String() != want {
			t.Errorf("%q is written as %q, want %q (%d, %v)", given, out.String(), want, n, err)
		}
	}
	if got := terminal.Line("a\nstatus sealed"); got != `a\nstatus sealed` {
		t.Errorf("%q", got)
	}
}
