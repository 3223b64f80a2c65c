package model

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/test/seeded"
)

// bugs are protocols with one rule broken. The search must find each, for the
// reason that it is a bug.
var bugs = []struct {
	name   string
	rules  rules
	config string
	breaks string // the violation begins so
}{
	{"commit PUT without If-None-Match", rules{unconditionalPut: true}, "core", "chain: a commit was overwritten"},
	{"store that checks, then puts", rules{checkThenPut: true}, "core", "chain: a commit was overwritten"},
	{"segment named by its base alone", rules{keyByBase: true}, "core", "store: "},
	{"commit before segment", rules{commitFirst: true}, "core", "store: "},
	{"412 or no answer: the same attempt at the next seq", rules{nextSeqSameAttempt: true}, "core", "chain: an offset is archived twice"},
	{"Kafka's committed offset is the truth", rules{kafkaIsTruth: true}, "core", "chain: an offset is archived twice"},
	{"the loser keeps its buffer, always", rules{keepAlways: true}, "core", "chain: an offset is archived twice"},
	{"the loser keeps its buffer over a divergence", rules{keepIgnoresBranch: true}, "one divergence", "rows: two histories"},
	{"the loser keeps its buffer over an end", rules{keepIgnoresEnd: true}, "end", "chain: something is archived behind its end"},
	{"a topic that is there again goes on behind the end", rules{goesOnBehindEnd: true}, "end and return", "chain: something is archived behind its end"},
	{"an idle owner never reads the head again", rules{idleNeverLooks: true}, "one divergence", "stuck"},
	{"cut past the first undecided record", rules{cutUndecided: true}, "transactions", "rows: an undecided record"},
	{"markers matched by producer epoch", rules{verdictByEpoch: true}, "transactions", "stuck"},
	{"out of range: on at log start, no gap", rules{resetsSilently: true}, "retention", "chain: offsets are missing"},

	{"guard by end offset alone", rules{guardByEnd: true}, "one divergence", "rows: two histories"},
	{"no guard where the epoch changes", rules{noGuardOnChange: true}, "one divergence", "rows: two histories"},
	{"guard where the epoch rises, not where it falls", rules{guardOnRiseOnly: true}, "divergence", "rows: two histories"},
	{"divergence keeps the buffer", rules{guardKeepsBuffer: true}, "divergence", "rows: two histories"},
	{"guard does not ask about the record that came", rules{guardIgnoresHand: true}, "divergence", "rows: two histories"},
	{"guard only when a record comes", rules{guardWaitsForRecord: true}, "one divergence", "stuck"},
	{"guard does not ask about markers", rules{guardIgnoresMarkers: true}, "verdicts", "rows: a record's status"},

	{"guard does not look where a marker was read ahead", rules{takesOtherMarker: true}, "marker of an older epoch", "rows: a record's status"},
	{"a log's end in a gap is not looked at", rules{guardIgnoresGapEnd: true}, "retention and divergence", "stuck"},
	{"a marker decides rows that an earlier one had, which was deleted", rules{decidesOverGap: true}, "retention and transactions", "rows: a record's status"},

	{"compaction commits before it stores", rules{compactBeforePut: true}, "compaction", "store: "},
	{"compaction that lost tries the next seq", rules{lostCompactionTriesNext: true}, "purge", "view: a commit replaces what is not there"},
	{"compaction deletes what it replaced at once", rules{deleteReplacedAtOnce: true}, "compaction", "reader: "},
	{"compaction names its outputs in no job", rules{collectIgnoresJobs: true}, "compaction", "store: "},
	{"compaction's object is byte for byte an orphan", rules{outputsLookArchived: true}, "compaction", "store: "},
	{"collection without age bound", rules{collectYoung: true}, "collection and divergence", "store: "},
	{"collection by age alone", rules{collectByAge: true}, "compaction", "store: "},
	{"collection of superseded rows", rules{collectSuperseded: true}, "collection and divergence", "store: "},

	{"purge that lost does not read the holds again", rules{purgeStaleHolds: true}, "purge", "purge: a held range"},
	{"purge reads the holds after its commit", rules{purgeHoldsAfter: true}, "purge", "purge: a held range"},
	{"purge deletes before it commits", rules{purgeDeletesFirst: true}, "purge", "store: "},
}

func TestBugsAreAllRules(t *testing.T) {
	seeded.EachRuleOnce(t, func(yield func(string, rules) bool) {
		for _, bug := range bugs {
			if !yield(bug.name, bug.rules) {
				return
			}
		}
	})
}

func TestBugsAreFound(t *testing.T) {
	for _, bug := range bugs {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			e := search{model: model{config: named(bug.config), rules: bug.rules}, limit: most, goals: strings.HasPrefix(bug.breaks, "stuck")}
			r := e.run()
			switch {
			case r.violation == "":
				t.Fatalf("not found in %d states (%s)", r.states, r.bounded)
			case !strings.HasPrefix(r.violation, bug.breaks):
				t.Fatalf("found %q, want %q\n    %s", r.violation, bug.breaks, strings.Join(r.trace, "\n    "))
			}
			t.Logf("%d states: %s\n    %s", r.states, r.violation, strings.Join(r.trace, "\n    "))
		})
	}
}
