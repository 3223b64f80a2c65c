package schema_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
)

var update = flag.Bool("update", false, "write golden files anew: only when the format's version changes")

func p[T any](v T) *T { return &v }

func digest(b byte) (d schema.Digest) {
	for i := range d {
		d[i] = b
	}
	return d
}

func object(key string, b byte) schema.ObjectRef {
	return schema.ObjectRef{Key: key, SHA256: digest(b), Bytes: 1 << 20}
}

// every gives one commit of each kind, and of each shape a kind can have. They
// do not form one chain.
func every() map[string]*schema.Commit {
	base := func(kind schema.CommitKind) *schema.Commit {
		return &schema.Commit{
			Format: schema.CommitFormat, Kind: kind, Cluster: "5L6g3nShT-eMCtK--X86sw",
			Topic: "fx.rates.received", TopicID: schema.TopicID{0xde, 0xad, 0xbe, 0xef, 15: 1}, Partition: 3,
			Branch: 1, Seq: 1042, Previous: p(digest(0xaa)),
			Attempt: "0b5d6c1e-6f9a-4f0e-9a0e-1c2d3e4f5a6b", Writer: "archiver-7f/1",
			Base: 9007199254740993, Next: 9007199254740993, // 2^53 + 1: no float holds it
			Versions: schema.Versions{Segment: "annals.segment/1", Extract: 1, Build: "v0.1.0"},
			Clock:    "2026-01-02T03:04:05.000000006Z",
		}
	}
	authority := &schema.Authority{
		Case: p("4711"), Reason: "request by the data subject, “Art. 17”", RequestedBy: "ana@example.com",
		ApprovedBy: []string{"bo@example.com"},
	}
	rows := func(c *schema.Commit) *schema.Commit {
		c.Next = c.Base + 110
		c.Records = schema.Counts{Committed: 90, Aborted: 5, Control: 5}
		c.Gaps = []schema.Gap{
			{Class: schema.GapCleaned, From: c.Base + 1, To: c.Base + 4},
			{Class: schema.GapUnreadable, From: c.Base + 50, To: c.Base + 57, Evidence: p(`CRC <mismatch> & "more"`), Object: p(object("data/fx/raw", 0x11))},
		}
		c.GapOffsets = 10
		c.LeaderEpochs = []schema.LeaderEpoch{{Epoch: 4, Start: c.Base}, {Epoch: 6, Start: c.Base + 60}}
		if c.Kind == schema.KindSegment {
			c.DecidedBy = &schema.Decider{Offset: c.Next + 3, LeaderEpoch: 6, ProducerID: 4711, Verdict: "aborted", From: c.Base + 100}
		}
		c.Segment = &schema.SegmentRef{
			ObjectRef: schema.ObjectRef{
				Key: "data/fx/x.parquet", SHA256: digest(0x22), Bytes: 123456789, VersionID: p("3HL4kqtJvjVBH40Nrjfkd"),
			},
			RecordRoot: digest(0x33), MinTimestamp: -1, MaxTimestamp: 1767322800000,
		}
		c.HighWatermark, c.LastStableOffset, c.LogStart = p(c.Next+5), p(c.Next+1), p(int64(12))
		c.TopicConfigSHA256 = p(digest(0x44))
		return c
	}
	all := map[string]*schema.Commit{}
	all["genesis"] = base(schema.KindGenesis)
	all["genesis"].Seq, all["genesis"].Previous, all["genesis"].Branch = 0, nil, 0
	all["genesis"].Start = &schema.Start{Policy: "earliest", LogStart: all["genesis"].Base}
	all["genesis_led"] = base(schema.KindGenesis)
	all["genesis_led"].Seq, all["genesis_led"].Previous, all["genesis_led"].Branch = 0, nil, 0
	all["genesis_led"].Start = &schema.Start{Policy: "latest", LogStart: 12}
	all["genesis_led"].LeaderEpochs = []schema.LeaderEpoch{{Epoch: 6, Start: all["genesis_led"].Next}}
	all["segment"] = rows(base(schema.KindSegment))
	all["segment_gaps_aside"] = rows(base(schema.KindSegment))
	all["segment_gaps_aside"].Gaps, all["segment_gaps_aside"].GapsObject = nil, p(object("data/fx/x.gaps.json", 0x55))
	all["gap"] = base(schema.KindGap)
	all["gap"].Next += 7
	all["gap"].Gaps = []schema.Gap{{Class: schema.GapBeforeLogStart, From: all["gap"].Base, To: all["gap"].Next, Evidence: p("log start 9007199254741000")}}
	all["gap"].GapOffsets = 7
	all["divergence"] = base(schema.KindDivergence)
	all["divergence"].Branch = 2
	all["divergence"].Divergence = &schema.Divergence{
		ArchivedNext: all["divergence"].Base + 40, BranchPoint: all["divergence"].Base, LeaderEpoch: 6,
		EpochEnd: p(all["divergence"].Base + 2), Evidence: "bytes differ",
	}
	all["end"] = base(schema.KindEnd)
	all["end_seen"] = base(schema.KindEnd)
	all["end_seen"].HighWatermark, all["end_seen"].LastStableOffset = p(all["end_seen"].Next+5), p(all["end_seen"].Next+1)
	all["end_seen"].LogStart, all["end_seen"].TopicConfigSHA256 = p(int64(12)), p(digest(0x44))
	all["compaction"] = rows(base(schema.KindCompaction))
	all["compaction"].Gaps, all["compaction"].GapOffsets = nil, 0
	all["compaction"].Replaced = []schema.ObjectRef{object("data/fx/a.parquet", 0x66), object("data/fx/b.parquet", 0x77)}
	all["redaction"] = rows(base(schema.KindRedaction))
	all["redaction"].Gaps, all["redaction"].GapOffsets = nil, 0
	all["redaction"].Replaced = []schema.ObjectRef{object("data/fx/a.parquet", 0x66)}
	all["redaction"].Redactions = []schema.Redaction{{Offset: all["redaction"].Base + 5, Field: "value"}}
	all["redaction"].Authority = authority
	all["purge"] = base(schema.KindPurge)
	all["purge"].Next += 100
	all["purge"].Replaced, all["purge"].Authority = []schema.ObjectRef{object("data/fx/a.parquet", 0x66)}, authority
	all["hold"] = base(schema.KindHold)
	all["hold"].Next += 100
	all["hold"].Authority = authority
	return all
}

// TestGoldenCommits pins the format: what was written once must be read and
// written again, byte for byte, for ever.
func TestGoldenCommits(t *testing.T) {
	dir := filepath.Join("testdata", "commit")
	digests := filepath.Join(dir, "SHA256SUMS")
	var sums strings.Builder
	for _, name := range []string{
		"compaction", "divergence", "end", "end_seen", "gap", "genesis", "genesis_led", "hold", "purge", "redaction", "segment", "segment_gaps_aside",
	} {
		file := filepath.Join(dir, name+".json")
		made, err := every()[name].Encode()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, made, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(made, golden) {
			t.Errorf("%s is written differently now:\n got %s\nwant %s", name, made, golden)
		}
		parsed, err := schema.ParseCommit(golden)
		if err != nil {
			t.Errorf("%s cannot be read any more: %v", name, err)
			continue
		}
		if again, err := parsed.Encode(); err != nil || !bytes.Equal(again, golden) {
			t.Errorf("%s does not survive reading and writing (%v)", name, err)
		}
		sums.WriteString(schema.CommitDigest(golden).String() + "  " + name + ".json\n")
	}
	if *update {
		if err := os.WriteFile(digests, []byte(sums.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(digests)
	if err != nil || string(want) != sums.String() {
		t.Errorf("digests changed (%v):\n got %s\nwant %s", err, sums.String(), want)
	}
}

// TestEveryKindHasAGoldenFile fails when a kind is added without one.
func TestEveryKindHasAGoldenFile(t *testing.T) {
	seen := map[schema.CommitKind]bool{}
	for _, c := range every() {
		seen[c.Kind] = true
	}
	for _, k := range []schema.CommitKind{
		schema.KindGenesis, schema.KindSegment, schema.KindGap, schema.KindDivergence, schema.KindEnd,
		schema.KindRedaction, schema.KindPurge, schema.KindHold, schema.KindCompaction,
	} {
		if !seen[k] || !k.Known() {
			t.Errorf("no golden file for %s", k)
		}
	}
}

// TestPartsBelongToTheirKind moves each kind's own part to every other kind.
func TestPartsBelongToTheirKind(t *testing.T) {
	all := every()
	parts := map[string]func(c *schema.Commit){
		"replaced":   func(c *schema.Commit) { c.Replaced = all["purge"].Replaced },
		"authority":  func(c *schema.Commit) { c.Authority = all["hold"].Authority },
		"redactions": func(c *schema.Commit) { c.Redactions = all["redaction"].Redactions },
		"start":      func(c *schema.Commit) { c.Start = all["genesis"].Start },
		"divergence": func(c *schema.Commit) { c.Divergence = all["divergence"].Divergence },
		"segment":    func(c *schema.Commit) { c.Segment = all["segment"].Segment },
		"decided_by": func(c *schema.Commit) {
			c.DecidedBy = &schema.Decider{Offset: c.Next, Verdict: "committed", From: c.Next - 1}
		},
	}
	owners := map[string]string{
		"replaced": "compaction redaction purge", "authority": "redaction purge hold", "redactions": "redaction",
		"start": "genesis genesis_led", "divergence": "divergence", "segment": "segment segment_gaps_aside redaction compaction",
		"decided_by": "segment segment_gaps_aside gap divergence",
	}
	for part, add := range parts {
		for name := range all {
			c := every()[name]
			add(c)
			belongs := strings.Contains(" "+owners[part]+" ", " "+name+" ")
			if err := c.Check(); (err == nil) != belongs {
				t.Errorf("%s in a %s: %v", part, name, err)
			}
		}
	}
}

// FuzzParseCommit: whatever the bytes, ParseCommit returns, with Corrupt or
// with a commit whose canonical bytes are those it was given.
func FuzzParseCommit(f *testing.F) {
	for _, c := range every() {
		raw, err := c.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)/2])
		f.Add(bytes.Replace(raw, []byte(`"`), []byte(`\u0022`), 3))
	}
	f.Add([]byte(`null`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := schema.ParseCommit(raw)
		if err != nil {
			if schema.KindOf(err) != schema.Corrupt {
				t.Fatalf("not Corrupt: %v", err)
			}
			return
		}
		again, err := c.Encode()
		if err != nil || !bytes.Equal(raw, again) {
			t.Fatalf("accepted, and written again as other bytes (%v):\n%q\n%q", err, raw, again)
		}
	})
}

// TestOneContentHasOneSpelling changes the spelling, not the content.
func TestOneContentHasOneSpelling(t *testing.T) {
	for name, change := range map[string][2]string{
		"empty list for null":  {`"replaced":null`, `"replaced":[]`},
		"null for empty list":  {`"leader_epochs":[]`, `"leader_epochs":null`},
		"null gaps":            {`"gaps":[]`, `"gaps":null`},
		"escaped character":    {`"end"`, `"\u0065nd"`},
		"name in another case": {`"writer"`, `"Writer"`},
		"number with a plus":   {`"seq":"1042"`, `"seq":"+1042"`},
		"number with a zero":   {`"seq":"1042"`, `"seq":"01042"`},
		"final newline":        {`Z"}`, "Z\"}\n"},
	} {
		raw, err := every()["end"].Encode()
		if err != nil {
			t.Fatal(err)
		}
		other := strings.Replace(string(raw), change[0], change[1], 1)
		if other == string(raw) {
			t.Fatalf("%s changes nothing", name)
		}
		if _, err := schema.ParseCommit([]byte(other)); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: accepted: %v", name, err)
		}
	}
	hold := every()["hold"]
	hold.Authority = &schema.Authority{Reason: "r", RequestedBy: "a"}
	raw, err := hold.Encode()
	if err != nil || !bytes.Contains(raw, []byte(`"approved_by":[]`)) {
		t.Fatalf("nobody approved: %s, %v", raw, err)
	}
}

func TestTextThatIsNotUTF8IsNotWritten(t *testing.T) {
	c := every()["gap"]
	c.Writer = "host-\xff"
	if raw, err := c.Encode(); schema.KindOf(err) != schema.Corrupt {
		t.Fatalf("%s, %v", raw, err)
	}
	c.Writer = "host-\ufffd\u2028\x00\x7f</>" // odd, but text
	raw, err := c.Encode()
	if err != nil || !bytes.Contains(raw, []byte("\"host-\ufffd\\u2028\\u0000\x7f</>\"")) {
		t.Fatalf("%s, %v", raw, err)
	}
}

func TestGapsAside(t *testing.T) {
	c := every()["segment_gaps_aside"]
	gaps := every()["segment"].Gaps
	raw, sum, err := schema.EncodeGaps(gaps, c.Base, c.Next)
	if err != nil || sum != c.GapOffsets {
		t.Fatalf("sum %d, %v", sum, err)
	}
	c.GapsObject.SHA256, c.GapsObject.Bytes = schema.CommitDigest(raw), int64(len(raw))
	back, err := schema.ParseGaps(raw, c)
	if err != nil || len(back) != len(gaps) || *back[1].Evidence != *gaps[1].Evidence {
		t.Fatalf("%+v, %v", back, err)
	}
	if _, _, err := schema.EncodeGaps(gaps, c.Base+2, c.Next); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("a gap outside the range: %v", err)
	}
	bad := []schema.Gap{{Class: schema.GapCleaned, From: c.Base, To: c.Base + 1, Evidence: p("\xff")}}
	if _, _, err := schema.EncodeGaps(bad, c.Base, c.Next); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("evidence that is not UTF-8: %v", err)
	}
	for name, bad := range map[string][]byte{
		"other bytes": bytes.Replace(raw, []byte("cleaned"), []byte("cleanee"), 1),
		"cut off":     raw[:len(raw)-1],
		"white space": append([]byte(" "), raw...),
		"two lists":   append(append([]byte{}, raw...), raw...),
		"null":        []byte("null"),
	} {
		// The commit names these very bytes, so that the list itself must tell.
		c.GapsObject.SHA256, c.GapsObject.Bytes = schema.CommitDigest(bad), int64(len(bad))
		if _, err := schema.ParseGaps(bad, c); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := schema.ParseGaps(raw, c); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: bytes that the commit does not name: %v", name, err)
		}
	}
}
