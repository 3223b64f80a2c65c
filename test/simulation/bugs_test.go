//go:build !synctests

package simulation

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// edit replaces one piece of a source file. In what it becomes, $BUG is true
// while the bug is switched on.
type edit struct{ file, from, to string }

// bug is one of the model's (test/model/bugs_test.go), or why there is no such
// code to break. What the model leaves out, the index, has bugs of its own here.
type bug struct {
	model  string // its name there
	edits  []edit
	breaks string // the violation, a regular expression
	none   string
}

const (
	// A goroutine of an archiver is asleep for a day only between a segment and
	// its commit, in some seeds.
	noSleep = "a compactor would have to sleep for a day between two steps while no other compacts; archiver.TestCollectionTakesNothingThatIsNeeded does that"
	noPurge = "purges and holds are not in the code yet"
)

var bugs = []bug{
	{
		model: "commit PUT without If-None-Match",
		edits: []edit{{
			"internal/ledger/append.go", "_, err := a.ledger.store.PutIfAbsent(ctx, a.key, a.raw)",
			"_, err := a.ledger.store.PutIfAbsent(ctx, a.key, a.raw)\n\tif $BUG {\n\t\t_, err = a.ledger.store.Put(ctx, a.key, a.raw)\n\t}",
		}},
		breaks: `chain:|stuck|gave up|reader:|rows:`,
	},
	{
		model:  "store that checks, then puts",
		edits:  []edit{{"test/simulation/s3_test.go", "\ttag := md5.Sum(body)\n", "\tif $BUG {\n\t\ts.mu.Unlock()\n\t\ttime.Sleep(time.Millisecond)\n\t\ts.mu.Lock()\n\t\tthere = s.objects[key]\n\t}\n\ttag := md5.Sum(body)\n"}},
		breaks: `refuse to start`,
	},
	{model: "segment named by its base alone", none: "a segment has a random seed in its footer and names are checked against its hash: an overwritten one is found as store:"},
	{
		model: "commit before segment",
		edits: []edit{{
			"archiver/seal.go", "err = a.options.Tracer.Do(ctx, \"put\", func(ctx context.Context) error {\n",
			"if $BUG {\n\t\t\tlate := bytes.Clone(body.Bytes())\n\t\t\tdefer func() { _, _ = a.store.Put(ctx, c.Segment.Key, late) }()\n\t\t}\n\t\terr = a.options.Tracer.Do(ctx, \"put\", func(ctx context.Context) error {\n\t\t\tif $BUG {\n\t\t\t\treturn nil\n\t\t\t}\n",
		}},
		breaks: `store:|reader:|chain:|stuck`,
	},
	{model: "412 or no answer: the same attempt at the next seq", none: "Ledger.Append takes one head and the one seq behind it: there is no call for it"},
	{model: "Kafka's committed offset is the truth", none: "positions below the head are repetitions that partition.take leaves out, those above are gaps that nothing explains"},
	{
		model: "the loser keeps its buffer, always",
		edits: []edit{
			{"archiver/seal.go", "if newest.Ended || newest.Next != c.Base || newest", "if newest.Ended || !$BUG && newest.Next != c.Base || !$BUG && newest"},
			{"archiver/seal.go", "|| !a.sameLog(j) {", "|| !$BUG && !a.sameLog(j) {"},
			{"internal/ledger/ledger.go", "\tif !h.IsZero() {\n", "\tif $BUG && !h.IsZero() {\n\t\treturn nil\n\t}\n\tif !h.IsZero() {\n"},
		},
		breaks: `chain:|rows:|stuck`,
	},
	{model: "the loser keeps its buffer over a divergence", none: "a commit says its branch, and Ledger.Append refuses one that does not follow: schema.Commit.CheckFollows"},
	{
		model:  "an idle owner never reads the head again",
		edits:  []edit{{"archiver/guard.go", "\tif g.reload {\n", "\tif g.reload && !$BUG {\n"}},
		breaks: `stuck`,
	},
	{
		model:  "cut past the first undecided record",
		edits:  []edit{{"archiver/partition.go", "func (p *partition) settle(now time.Time) {\n", "func (p *partition) settle(now time.Time) {\n\tif $BUG {\n\t\tfor _, row := range p.rows.all() {\n\t\t\tif row.Status == schema.Undecided {\n\t\t\t\trow.Status = schema.Committed\n\t\t\t}\n\t\t}\n\t\tclear(p.open)\n\t}\n"}},
		breaks: `rows: a record's status`,
	},
	{
		model:  "markers matched by producer epoch",
		edits:  []edit{{"archiver/partition.go", "\tif !ok || w == nil {\n", "\tif ok && w != nil && len(w.rows) > 0 && $BUG && p.row(int(w.rows[0]-p.first)).ProducerEpoch != marker.ProducerEpoch {\n\t\treturn\n\t}\n\tif !ok || w == nil {\n"}},
		breaks: `stuck`,
	},
	{
		model:  "out of range: on at log start, no gap",
		edits:  []edit{{"archiver/bounds.go", "\t\tp.deleted(bounds.LogStart,", "\t\tif p.expected = max(p.expected, bounds.LogStart); $BUG {\n\t\t\treturn\n\t\t}\n\t\tp.expected = was\n\t\tp.deleted(bounds.LogStart,"}, {"archiver/bounds.go", "\tp.resume, p.seek = true, true\n\ta.counted(p, func() { p.skim = nil })\n", "\twas := p.expected\n\tp.resume, p.seek = true, true\n\ta.counted(p, func() { p.skim = nil })\n"}},
		breaks: `stuck|chain:`,
	},
	{
		model: "guard by end offset alone",
		edits: []edit{{
			"archiver/compare.go", "\tif len(page.Records) > 0 && page.Records[0].Offset == ours.Offset {\n",
			"\tif $BUG && page.HighWatermark > ours.Offset {\n\t\th.outcome = outcomeSame\n\t\treturn h, nil\n\t}\n\tif len(page.Records) > 0 && page.Records[0].Offset == ours.Offset {\n",
		}},
		breaks: `rows: |chain: `,
	},
	{
		model: "no guard where the epoch changes",
		edits: []edit{
			{"archiver/leader_epoch.go", "func (p *partition) trusted(records []schema.Record) (n int, why string) {\n", "func (p *partition) trusted(records []schema.Record) (n int, why string) {\n\tif $BUG {\n\t\treturn len(records), \"\"\n\t}\n"},
			{"archiver/leader_epoch.go", "func (a *Archiver) ledBy(listed kafka.Topic) {\n", "func (a *Archiver) ledBy(listed kafka.Topic) {\n\tif $BUG {\n\t\treturn\n\t}\n"},
		},
		breaks: `rows: |chain: |stuck`,
	},
	{
		model:  "guard where the epoch rises, not where it falls",
		edits:  []edit{{"archiver/leader_epoch.go", "last != nothingHeld && came.epoch != last {", "last != nothingHeld && (came.epoch > last || !$BUG && came.epoch != last) {"}},
		breaks: `rows: |chain: `,
	},
	{
		model:  "divergence keeps the buffer",
		edits:  []edit{{"archiver/guard.go", "\tif moved || found.lose {\n", "\tif moved && !$BUG || found.lose && !$BUG {\n"}},
		breaks: `rows: |chain: |stuck`,
	},
	{
		model:  "guard does not ask about the record that came",
		edits:  []edit{{"archiver/leader_epoch.go", "\tif g.hand == nil || found.lose || found.commit != nil {\n\t\treturn nil\n\t}\n", "\tif g.hand == nil || found.lose || found.commit != nil {\n\t\treturn nil\n\t}\n\tif $BUG {\n\t\tfound.approved = true\n\t\treturn nil\n\t}\n"}},
		breaks: `rows: |chain: |stuck`,
	},
	{
		model:  "guard only when a record comes",
		edits:  []edit{{"archiver/leader_epoch.go", "func (a *Archiver) ledBy(listed kafka.Topic) {\n", "func (a *Archiver) ledBy(listed kafka.Topic) {\n\tif $BUG {\n\t\treturn\n\t}\n"}, {"archiver/bounds.go", "\t\tcase bounds.HighWatermark < p.expected:\n\t\t\tp.ask, p.aside = false, false\n", "\t\tcase bounds.HighWatermark < p.expected && $BUG:\n\t\tcase bounds.HighWatermark < p.expected:\n\t\t\tp.ask, p.aside = false, false\n"}},
		breaks: `stuck|rows: `,
	},
	{
		model:  "guard does not ask about markers",
		edits:  []edit{{"archiver/verdicts.go", "\tif d == nil {\n\t\treturn false, nil\n\t}\n", "\tif d == nil || $BUG {\n\t\treturn false, nil\n\t}\n"}},
		breaks: `rows: a record's status`,
	},
	{
		model:  "compaction commits before it stores",
		edits:  []edit{{"archiver/rewrite.go", "\tobject, err := a.store.PutFile(ctx, key, out, written.Bytes, written.SHA256)\n", "\tvar object objstore.Object\n\tif !$BUG {\n\t\tobject, err = a.store.PutFile(ctx, key, out, written.Bytes, written.SHA256)\n\t} else {\n\t\tdefer func() {\n\t\t\tif err == nil {\n\t\t\t\t_, err = a.store.PutFile(ctx, key, out, written.Bytes, written.SHA256)\n\t\t\t}\n\t\t}()\n\t}\n"}, {"archiver/rewrite.go", "\t\"github.com/fx-risk-ai/annals/internal/ledger\"\n", "\t\"github.com/fx-risk-ai/annals/internal/ledger\"\n\t\"github.com/fx-risk-ai/annals/internal/objstore\"\n"}},
		breaks: `store:|reader:|chain:|stuck`,
	},
	{
		model:  "compaction that lost tries the next seq",
		edits:  []edit{{"archiver/rewrite.go", "\t\tif !same {\n", "\t\tif !same && !$BUG {\n"}},
		breaks: `view:|replaces|chain:|stuck|reader:`,
	},
	{
		model:  "compaction deletes what it replaced at once",
		edits:  []edit{{"archiver/collect.go", "return WhyReplaced, e.old(at)", "return WhyReplaced, e.old(at) || $BUG"}},
		breaks: `reader:`,
	},
	{model: "compaction names its outputs in no job", none: noSleep},
	{model: "compaction's object is byte for byte an orphan", none: noSleep},
	{
		model:  "collection without age bound",
		edits:  []edit{{"archiver/collect.go", "return e.now.Sub(at) > e.after }", "return e.now.Sub(at) > e.after || $BUG }"}},
		breaks: `reader:|store:`,
	},
	{
		model:  "collection by age alone",
		edits:  []edit{{"archiver/collect.go", "|| base >= e.head.Next {", "|| base >= e.head.Next && !$BUG {"}},
		breaks: `store:|chain:|reader:`,
	},
	{
		model:  "collection of superseded rows",
		edits:  []edit{{"archiver/collect.go", "\tfor _, s := range g.view.All() {\n\t\tg.current", "\tfor _, s := range g.view.All() {\n\t\tif $BUG && !s.IsCurrent() {\n\t\t\tdelete(g.named, s.Ref.Key)\n\t\t\tcontinue\n\t\t}\n\t\tg.current"}},
		breaks: `store:|chain:`,
	},
	{
		model:  "streams of topics that are gone are left as they are", // the index's
		edits:  []edit{{"archiver/gone.go", "func (g *gone) run(ctx context.Context) {\n", "func (g *gone) run(ctx context.Context) {\n\tif $BUG {\n\t\treturn\n\t}\n"}},
		breaks: `stuck: .*which is gone`,
	},
	// The spool's: the model has none.
	{
		model:  "spooled rows forget their verdicts",
		edits:  []edit{{"archiver/frames.go", "\t\t\trows[i].Status = f.verdicts[rows[i].ProducerID]\n", "\t\t\tif rows[i].Status = f.verdicts[rows[i].ProducerID]; $BUG {\n\t\t\t\trows[i].Status = schema.Committed\n\t\t\t}\n"}},
		breaks: `rows: a record's status`,
	},
	{
		model:  "what the spool lost is not read again",
		edits:  []edit{{"archiver/spool.go", "\ta.held -= p.discard(p.head)\n\tif p.shown > p.head.Next {\n", "\tif !$BUG {\n\t\ta.held -= p.discard(p.head)\n\t}\n\tif p.shown > p.head.Next {\n"}},
		breaks: `stuck`,
	},
	{
		model:  "what was cut from the spool stays in it",
		edits:  []edit{{"archiver/frames.go", "\tp.disk -= f.Bytes()\n\tf.Drop()\n", "\tif p.disk -= f.Bytes(); !$BUG {\n\t\tf.Drop()\n\t}\n"}},
		breaks: `stuck: the spool of archiver`,
	},
	{
		model: "guard does not look where a marker was read ahead",
		none:  "the log must be another one in the moment between a guard and the fetch behind it; archiver.TestAnotherRecordWhereAMarkerWasIsDoubted does that",
	},
	{
		model:  "a log's end in a gap is not looked at",
		edits:  []edit{{"archiver/guard.go", "\tif top >= g.head.Next {\n", "\tif top >= g.head.Next || $BUG {\n"}},
		breaks: `stuck`,
	},
	{
		model:  "a marker decides rows that an earlier one had, which was deleted",
		edits:  []edit{{"archiver/partition.go", "\tcase p.decided == p.count():\n\tcase p.decided < p.inFrames: //", "\tcase p.decided == p.count(), $BUG:\n\tcase p.decided < p.inFrames: //"}},
		breaks: `rows: a record's status`,
	},
	{model: "purge that lost does not read the holds again", none: noPurge},
	{model: "purge reads the holds after its commit", none: noPurge},
	{model: "purge deletes before it commits", none: noPurge},
}

// TestBugsAreFound breaks the code where the model is broken and lets the
// simulation find out. The broken sources are laid over the real ones for one
// build, so that there is no switch in what is shipped. ANNALS_BUG=… tries the
// bugs whose name has that in it.
func TestBugsAreFound(t *testing.T) {
	if os.Getenv("ANNALS_TEST_LONG") == "" && os.Getenv("ANNALS_BUG") == "" {
		t.Skip("long: set ANNALS_TEST_LONG=1 to run it")
	}
	binary := broken(t)
	for _, b := range bugs {
		if !strings.Contains(b.model, os.Getenv("ANNALS_BUG")) {
			continue
		}
		t.Run(b.model, func(t *testing.T) {
			if b.none != "" {
				t.Skip(b.none)
			}
			command := exec.CommandContext(t.Context(), binary, "-test.run", "^TestSeeds$", "-test.v", "-test.timeout", "30m")
			command.Env = append(os.Environ(), "ANNALS_SEEDED_BUG="+b.model, "ANNALS_SEEDS=200", "ANNALS_SEED=")
			out, err := command.CombinedOutput()
			if err == nil {
				t.Fatal("not found in 200 seeds")
			}
			found := regexp.MustCompile(`(?m)seed \d+: .*(` + b.breaks + `).*`).Find(out)
			if found == nil {
				t.Fatalf("found, but not for its reason, %s:\n%s", b.breaks, out[:min(len(out), 4000)])
			}
			t.Logf("%.300s", found)
		})
	}
}

// TestBugsHaveTheirPlace says at once that code was changed which a bug breaks:
// its piece is not there any more, or what it becomes does not compile.
func TestBugsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	command := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlaid(t), "../../archiver", "../../internal/ledger")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

// brokenSources are the sources with all bugs in them, each behind a look at
// the environment, by their path below root.
func brokenSources(t *testing.T, root string) map[string][]byte {
	t.Helper()
	sources := map[string][]byte{}
	packages := map[string]string{}
	for _, b := range bugs {
		for _, e := range b.edits {
			if sources[e.file] == nil {
				var err error
				sources[e.file], err = os.ReadFile(filepath.Join(root, e.file))
				must(t, err)
			}
			if n := bytes.Count(sources[e.file], []byte(e.from)); n != 1 {
				t.Fatalf("%q: what it breaks in %s is there %d times, once expected:\n%s", b.model, e.file, n, e.from)
			}
			to := strings.ReplaceAll(e.to, "$BUG", `seededBug("`+b.model+`")`)
			sources[e.file] = bytes.Replace(sources[e.file], []byte(e.from), []byte(to), 1)
			packages[filepath.Dir(e.file)] = filepath.Base(filepath.Dir(e.file))
		}
	}
	for folder, name := range packages {
		file := filepath.Join(folder, "seeded_bug.go")
		if folder == "test/simulation" {
			file = filepath.Join(folder, "seeded_bug_test.go")
		}
		sources[file] = []byte("package " + name + "\n\nimport \"os\"\n\nfunc seededBug(name string) bool { return os.Getenv(\"ANNALS_SEEDED_BUG\") == name }\n")
	}
	return sources
}

// overlaid lays the broken sources over the real ones, in a file for a build.
func overlaid(t *testing.T) (file string) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	must(t, err)
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, source := range brokenSources(t, root) {
		at := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		must(t, os.WriteFile(at, source, 0o600))
		overlay.Replace[filepath.Join(root, file)] = at
	}
	raw, err := json.Marshal(overlay)
	must(t, err)
	file = filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(file, raw, 0o600))
	return file
}

// broken builds the simulation on broken sources.
func broken(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "broken.test")
	command := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "synctests", "-overlay", overlaid(t), "-o", binary, ".")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if keep := os.Getenv("ANNALS_BROKEN"); keep != "" {
		raw, err := os.ReadFile(binary)
		must(t, err)
		must(t, os.WriteFile(keep, raw, 0o755))
	}
	return binary
}
