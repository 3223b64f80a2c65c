package schema_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
)

func genesis() *schema.Commit {
	return &schema.Commit{
		Format: schema.CommitFormat, Kind: schema.KindGenesis,
		Cluster: "c1", Topic: "fx.rates", TopicID: schema.TopicID{1, 2, 3}, Partition: 4,
		Attempt: "0b5d6c1e-6f9a-4f0e-9a0e-1c2d3e4f5a6b", Writer: "host-1",
		Base: 7, Next: 7,
		Start:    &schema.Start{Policy: "earliest", LogStart: 7},
		Versions: schema.Versions{Segment: "annals.segment/1", Extract: 1, Build: "test"},
		Clock:    "2026-01-02T03:04:05.000000006Z",
	}
}

func segment(after *schema.Commit, digest schema.Digest) *schema.Commit {
	c := genesis()
	c.Kind, c.Start = schema.KindSegment, nil
	c.Seq, c.Previous = after.Seq+1, &digest
	c.Base, c.Next = 7, 17
	c.Records = schema.Counts{Committed: 6, Control: 1}
	c.Gaps = []schema.Gap{{Class: schema.GapCleaned, From: 9, To: 12}}
	c.GapOffsets = 3
	c.Segment = &schema.SegmentRef{ObjectRef: schema.ObjectRef{Key: "data/x", Bytes: 9}}
	return c
}

func TestCommitRoundTripIsCanonical(t *testing.T) {
	first := genesis()
	raw, err := first.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte(`"high_watermark":null`)) || !bytes.Contains(raw, []byte(`"next":"7"`)) {
		t.Fatalf("unknown is not null, or a 64-bit number is not a string: %s", raw)
	}
	parsed, err := schema.ParseCommit(raw)
	if err != nil {
		t.Fatal(err)
	}
	again, err := parsed.Encode()
	if err != nil || !bytes.Equal(raw, again) {
		t.Fatalf("not the same bytes (%v):\n%s\n%s", err, raw, again)
	}
}

func TestParseCommitRefuses(t *testing.T) {
	raw, err := genesis().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"unknown kind":   strings.Replace(string(raw), `"kind":"genesis"`, `"kind":"rewrite"`, 1),
		"unknown field":  strings.Replace(string(raw), `{"format"`, `{"extra":1,"format"`, 1),
		"white space":    strings.Replace(string(raw), `,"kind"`, `, "kind"`, 1),
		"other order":    strings.Replace(string(raw), `"seq":"0",`, ``, 1),
		"trailing bytes": string(raw) + "{}",
		"other format":   strings.Replace(string(raw), "annals.commit/1", "annals.commit/9", 1),
		"number":         strings.Replace(string(raw), `"base":"7"`, `"base":7`, 1),
	} {
		if _, err := schema.ParseCommit([]byte(bad)); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: accepted, or not Corrupt: %v", name, err)
		}
	}
}

func TestCheckHoldsTheInvariant(t *testing.T) {
	good := segment(genesis(), schema.Digest{})
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*schema.Commit){
		"a row too few":      func(c *schema.Commit) { c.Records.Committed-- },
		"a gap left out":     func(c *schema.Commit) { c.Gaps, c.GapOffsets = nil, 0 },
		"gap sum":            func(c *schema.Commit) { c.GapOffsets++ },
		"gap outside":        func(c *schema.Commit) { c.Gaps[0].To = 18; c.GapOffsets = 9 },
		"gap class":          func(c *schema.Commit) { c.Gaps[0].Class = "lost" },
		"no segment":         func(c *schema.Commit) { c.Segment = nil },
		"no previous":        func(c *schema.Commit) { c.Previous = nil },
		"zero topic ID":      func(c *schema.Commit) { c.TopicID = schema.TopicID{} },
		"cluster with slash": func(c *schema.Commit) { c.Cluster = "a/b" },
	} {
		bad := segment(genesis(), schema.Digest{})
		change(bad)
		if err := bad.Check(); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: accepted: %v", name, err)
		}
	}
}

func TestCheckOfAnEnd(t *testing.T) {
	for name, change := range map[string]func(*schema.Commit){
		"offsets":     func(c *schema.Commit) { c.Next++ },
		"rows":        func(c *schema.Commit) { c.Records.Committed = 1 },
		"gap offsets": func(c *schema.Commit) { c.GapOffsets, c.GapsObject = 1, &schema.ObjectRef{Key: "x"} },
		"a gap list":  func(c *schema.Commit) { c.GapsObject = &schema.ObjectRef{Key: "x"} },
		"a segment":   func(c *schema.Commit) { c.Segment = &schema.SegmentRef{} },
	} {
		end := *every()["end_seen"]
		if err := end.Check(); err != nil {
			t.Fatal(err)
		}
		change(&end)
		if err := end.Check(); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("an end with %s: %v", name, err)
		}
	}
}

func TestCheckOfALedGenesis(t *testing.T) {
	for name, epochs := range map[string][]schema.LeaderEpoch{
		"two epochs": {{Epoch: 1, Start: 7}, {Epoch: 2, Start: 7}}, "another offset": {{Epoch: 1, Start: 8}},
	} {
		c := genesis()
		c.LeaderEpochs = []schema.LeaderEpoch{{Epoch: 1, Start: c.Next}}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		c.LeaderEpochs = epochs
		if err := c.Check(); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("a genesis with %s: %v", name, err)
		}
	}
}

func TestCheckFollows(t *testing.T) {
	first := genesis()
	digest := schema.Digest{9}
	if err := segment(first, digest).CheckFollows(first, digest, 7, false); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*schema.Commit){
		"a seq left out":  func(c *schema.Commit) { c.Seq++ },
		"other previous":  func(c *schema.Commit) { c.Previous = &schema.Digest{8} },
		"hole before it":  func(c *schema.Commit) { c.Base++ },
		"other partition": func(c *schema.Commit) { c.Partition++ },
		"silent branch":   func(c *schema.Commit) { c.Branch++ },
	} {
		bad := segment(first, digest)
		change(bad)
		if err := bad.CheckFollows(first, digest, 7, false); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: accepted: %v", name, err)
		}
	}
}

// TestCheckFollowsAnEnd: behind an end stands what says something of what is
// archived, and nothing that archives.
func TestCheckFollowsAnEnd(t *testing.T) {
	for name, made := range every() {
		if made.Seq == 0 {
			continue
		}
		kind := made.Kind
		before, digest := genesis(), schema.Digest{9}
		c := *made
		before.Cluster, before.TopicID, before.Partition, before.Branch, before.Seq = c.Cluster, c.TopicID, c.Partition, c.Branch, c.Seq-1
		if c.Previous = &digest; kind == schema.KindDivergence {
			before.Branch--
		}
		if err := c.CheckFollows(before, digest, c.Base, false); err != nil {
			t.Errorf("%s, before an end: %v", name, err)
		}
		allowed := kind == schema.KindCompaction || kind == schema.KindRedaction || kind == schema.KindPurge || kind == schema.KindHold || kind == schema.KindDivergence
		if err := c.CheckFollows(before, digest, c.Base, true); (err == nil) != allowed || err != nil && schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s, behind an end: %v", name, err)
		}
	}
	end := every()["end"]
	before, digest := genesis(), *end.Previous
	before.Cluster, before.TopicID, before.Partition, before.Branch, before.Seq = end.Cluster, end.TopicID, end.Partition, end.Branch, end.Seq-1
	if err := end.CheckFollows(before, digest, end.Base-1, false); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("an end that does not stand at next: %v", err)
	}
}

func TestKeysSortAndParse(t *testing.T) {
	s := genesis().Stream()
	if a, b := schema.CommitKey(s, 999), schema.CommitKey(s, 1000); a >= b {
		t.Fatalf("%s does not sort before %s", a, b)
	}
	got, seq, err := schema.ParseLedgerKey(schema.CommitKey(s, 123456))
	if err != nil || seq != 123456 || got.Cluster != s.Cluster || got.TopicID != s.TopicID || got.Partition != 4 {
		t.Fatalf("%+v %d %v", got, seq, err)
	}
	for _, bad := range []string{"", "ledger/c/x/1/2/3.json", "data/a", schema.CommitKey(s, 1) + "x"} {
		if _, _, err := schema.ParseLedgerKey(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

func TestEscapeTopicCannotLeaveItsFolder(t *testing.T) {
	for in, want := range map[string]string{
		"fx.rates_v-1": "fx.rates_v-1", "..": "%2E%2E", ".": "%2E", "a/b": "a%2Fb", "a=b": "a%3Db", "a%b": "a%25b",
	} {
		if got := schema.EscapeTopic(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
