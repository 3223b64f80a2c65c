package e2e_test

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// TestHarmfulTextIsShownNotObeyed prints records to a terminal that would clear
// it, overwrite a line, or pass for a line of ours.
func TestHarmfulTextIsShownNotObeyed(t *testing.T) {
	i := year(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := i.Client(t)
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, "harm"); err != nil {
		t.Fatal(err)
	}
	record := &kgo.Record{
		Topic: "harm", Key: []byte("\u009b2Jkey\u202e"), Value: []byte("good\rbad\nstatus     committed, sealed\u2028"),
		Headers: []kgo.RecordHeader{{Key: "\x1b]0;owned\a\nstatus     forged", Value: []byte("a\nids        trace forged")}},
	}
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		said := i.Annals(t, "get", at(record))
		if said.Code != 0 {
			return context.DeadlineExceeded
		}
		text := string(said.Out)
		for n, r := range text {
			if unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' {
				t.Errorf("%q reaches the terminal at %d of\n%q", r, n, text)
			}
		}
		for word, want := range map[string]int{"\nstatus ": 1, "\nids ": 1, "owned": 1, "good": 1} {
			if got := strings.Count(text, word); got != want {
				t.Errorf("%q stands %d times, want %d, in\n%q", word, got, want, text)
			}
		}
		return nil
	})
}
