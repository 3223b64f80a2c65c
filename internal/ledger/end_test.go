package ledger_test

import (
	"testing"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// TestNothingIsArchivedBehindAnEnd: whoever appends is refused, at the end itself
// and behind what may follow one; a chain in which somebody did so all the same is
// corrupt to whoever reads it, and a finding to who verifies it. A divergence begins
// a branch that goes on.
func TestNothingIsArchivedBehindAnEnd(t *testing.T) {
	for _, behind := range []string{"at once", "behind a hold"} {
		l, store := open(t)
		s := stream(0)
		archive(t, l, store, s, 2)
		head, err := l.Head(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		head = appended(t, l, head, commit(s, head, schema.KindEnd))
		if behind != "at once" {
			head = appended(t, l, head, commit(s, head, schema.KindHold, func(c *schema.Commit) {
				c.Authority = &schema.Authority{Reason: "test", RequestedBy: "test"}
			}))
		}
		if found, err := l.Head(t.Context(), s); err != nil || !found.Ended || found.Next != 20 {
			t.Errorf("%s: the head is %+v, %v", behind, found, err)
		}
		if report, err := l.Verify(t.Context(), s, ledger.VerifyOptions{}); err != nil || report.Findings != 0 || !report.Ended || report.Went != -1 {
			t.Errorf("%s: %+v, %v", behind, report, err)
		}
		for name, c := range map[string]*schema.Commit{
			"segment": segment(s, head, 1), "end": commit(s, head, schema.KindEnd),
			"gap": commit(s, head, schema.KindGap, func(c *schema.Commit) {
				c.Next, c.GapOffsets, c.Gaps = c.Base+1, 1, []schema.Gap{{Class: schema.GapCleaned, From: c.Base, To: c.Base + 1}}
			}),
		} {
			if _, err := l.Append(t.Context(), head, c); schema.KindOf(err) != schema.Corrupt {
				t.Errorf("%s: a %s is appended: %v", behind, name, err)
			}
			raw, err := c.Encode()
			if err != nil {
				t.Fatal(err)
			}
			put(t, store, schema.CommitKey(s, c.Seq), raw) // behind the ledger's back
			if all, err := chain(t, l, s, 0); schema.KindOf(err) != schema.Corrupt || int64(len(all)) != c.Seq {
				t.Errorf("%s: a chain with a %s is read: %d commits, %v", behind, name, len(all), err)
			}
			if all, err := chain(t, l, s, c.Seq); schema.KindOf(err) != schema.Corrupt || len(all) != 0 {
				t.Errorf("%s: the %s alone is read: %d commits, %v", behind, name, len(all), err)
			}
			if _, err := l.View(t.Context(), s, nil); schema.KindOf(err) != schema.Corrupt {
				t.Errorf("%s: a chain with a %s has a view: %v", behind, name, err)
			}
			if report, err := l.Verify(t.Context(), s, ledger.VerifyOptions{}); err != nil || report.Findings == 0 || report.Listed[0].Seq != c.Seq {
				t.Errorf("%s: a chain with a %s verifies: %+v, %v", behind, name, report.Listed, err)
			}
			if err := store.Delete(t.Context(), schema.CommitKey(s, c.Seq)); err != nil {
				t.Fatal(err)
			}
		}

		head = appended(t, l, head, diverge(s, head, 20)) // the topic is there again
		more := segment(s, head, 10)
		put(t, store, more.Segment.Key, body(more))
		head = appended(t, l, head, more)
		if found, err := l.Head(t.Context(), s); err != nil || head.Ended || found.Ended || found.Next != 30 {
			t.Errorf("%s: behind a branch the head is %+v, %v", behind, found, err)
		}
		if v, err := l.View(t.Context(), s, nil); err != nil || v.End != nil || len(v.Current()) != 3 {
			t.Errorf("%s: behind a branch the view is %+v, %v", behind, v, err)
		}
		if report, err := l.Verify(t.Context(), s, ledger.VerifyOptions{}); err != nil || report.Findings != 0 || report.Ended {
			t.Errorf("%s: behind a branch: %+v, %v", behind, report, err)
		}
	}
}

// TestWhatWentWithATopic: an end says how far Kafka's log went when it was last
// seen, and by that what of it is not archived.
func TestWhatWentWithATopic(t *testing.T) {
	for name, c := range map[string]struct {
		seen  *int64
		end   int64
		known bool
	}{
		"more":    {pointer(27), 27, true},
		"nothing": {pointer(20), 20, true},
		"less":    {pointer(11), 20, true}, // it was seen before the last commit
		"unknown": {nil, 20, false},
	} {
		l, store := open(t)
		s := stream(0)
		archive(t, l, store, s, 2)
		head, err := l.Head(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		before, err := l.View(t.Context(), s, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, known := before.Went(); known || before.End != nil {
			t.Errorf("%s: it went before its end", name)
		}
		appended(t, l, head, commit(s, head, schema.KindEnd, func(e *schema.Commit) { e.HighWatermark = c.seen }))
		for _, known := range []*ledger.View{nil, before} {
			v, err := l.View(t.Context(), s, known)
			if err != nil {
				t.Fatal(err)
			}
			if end, known := v.Went(); end != c.end || known != c.known || v.End == nil {
				t.Errorf("%s: up to %d, known %t, want %d, %t", name, end, known, c.end, c.known)
			}
		}
		want := c.end - 20
		if !c.known {
			want = -1
		}
		if report, err := l.Verify(t.Context(), s, ledger.VerifyOptions{}); err != nil || !report.Ended || report.Went != want {
			t.Errorf("%s: verify says %d, %v", name, report.Went, err)
		}
	}
}

func pointer(v int64) *int64 { return &v }
