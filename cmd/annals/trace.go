package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/fx-risk-ai/annals/internal/terminal"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
)

// traceCommand is annals trace.
type traceCommand struct {
	asking
	between
	ID        string `arg:"" help:"Trace id, in any encoding."`
	Archive   bool   `help:"Read the archive itself between --from and --to, and not the index: slower, for when ClickHouse is down."`
	NoDiffs   bool   `help:"Do not read payloads; show the hops and edges alone."`
	FactsOnly bool   `help:"Leave inferred edges out, and of a flow what only shares an id."`
	Flow      bool   `help:"Go on into other traces: by causes, coordinates, forwarded trace headers, correlation and business ids."`
	Limit     int    `default:"2000" help:"Most hops to show."`
	Field     string `placeholder:"POINTER" help:"Follow one place in the payloads, a JSON Pointer such as /order/total, through the trace instead."`
	All       bool   `help:"Show each hop; otherwise, of many alike, the first few and how many more there are. JSON always has each."`
}

// Run implements kong's command.
func (c *traceCommand) Run(ctx context.Context, in *invocation) error {
	from, to, err := c.times()
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	if c.Field != "" {
		if c.NoDiffs || c.FactsOnly || c.All || c.Flow || c.Archive || from != nil || to != nil {
			return schema.InvalidField("--field", "--field reads payloads and compares along all edges of the trace: --no-diffs, --facts-only, --flow, --archive, --from, --to and --all do not go with it")
		}
		history, err := server.Field(ctx, c.ID, api.GetFieldHistoryParams{Pointer: c.Field, Limit: &c.Limit})
		if err != nil {
			return err
		}
		return c.print(in.out, history, func(w io.Writer) { showField(w, history) })
	}
	diffs := !c.NoDiffs
	trace, err := server.Trace(ctx, c.ID, api.GetTraceParams{Diffs: &diffs, FactsOnly: pointer(c.FactsOnly), Flow: pointer(c.Flow), Archive: pointer(c.Archive), From: from, To: to, Limit: &c.Limit})
	if err != nil {
		return err
	}
	return c.print(in.out, trace, func(w io.Writer) { showTrace(w, trace, c.All) })
}

func showTrace(w io.Writer, t *api.Trace, all bool) {
	if t.Flow != nil {
		fmt.Fprintf(w, "a flow over %d traces from ", len(t.Flow.Traces))
	}
	fmt.Fprintf(w, "trace %s: %d hops, %d services, %d topics, %s to %s\n",
		t.TraceId, len(t.Hops), len(t.Services), len(t.Topics), moment(t.From), moment(t.To))
	if t.Sealed != nil && *t.Sealed < len(t.Hops) {
		fmt.Fprintf(w, "%d of %d are sealed; the others are searchable, not yet evidence\n", *t.Sealed, len(t.Hops))
	}
	parents := map[int][]api.Edge{}
	for _, e := range t.Edges {
		parents[e.Child] = append(parents[e.Child], e)
	}
	alike := newGroups(t.Hops)
	for i, hop := range t.Hops {
		if !all {
			more, hide := alike.next(hop)
			if more > 0 {
				fmt.Fprintf(w, "\n    %s… and %d more like these: %s in %s\n", strings.Repeat("  ", min(hop.Depth, 8)), more, hop.EventType, hop.Coordinates.Topic)
			}
			if hide {
				continue
			}
		}
		at := hop.Coordinates
		fmt.Fprintf(w, "\n%3d %s%-15s %s  %s\n", i, strings.Repeat("  ", min(hop.Depth, 8)), hop.Stage, hop.Timestamp.UTC().Format("2006-01-02 15:04:05.000"), hop.SourceService)
		fmt.Fprintf(w, "      %s %s  %s/%d/%d%s\n", hop.EventType, hop.EventVersion, at.Topic, at.Partition, at.Offset, marks(hop))
		showReached(w, &hop)
		showParents(w, parents[i])
		if hop.Diff != nil {
			showDiff(w, hop.Diff)
		}
	}
	if alike.hidden > 0 {
		fmt.Fprintf(w, "\n%d of %d hops are not shown each: they are like those before them. --all shows each.\n", alike.hidden, len(t.Hops))
	}
	if t.NotInferred != nil && *t.NotInferred > 0 {
		fmt.Fprintf(w, "\nAbout %d parents in other traces are not shown: hops of these kinds usually declare them, these do not, and none is inferred across traces.\n", *t.NotInferred)
	}
	if t.NotLearned != nil && *t.NotLearned > 0 {
		fmt.Fprintf(w, "\nOf %d kinds of hops it was not found out in time how others of the kind name their parents: theirs are guessed by general rules. Asked again, the answer may be better.\n", *t.NotLearned)
	}
	showFlow(w, t.Flow)
	if l := t.Archive; l != nil {
		fmt.Fprintf(w, "\nRead from the archive itself, %s to %s, without the index: %d of %d segments were looked into and %d read. Nothing is inferred, what is not sealed is not in it, and %d declared parents outside were not looked for.\n",
			l.From.UTC().Format("2006-01-02 15:04"), l.To.UTC().Format("2006-01-02 15:04"), l.Looked, l.OfSegments, l.Segments, l.ParentsOutside)
		if l.Stopped != nil {
			fmt.Fprintf(w, "It is not all: the look ended at its bound of %s.\n", *l.Stopped)
		}
		return
	}
	if t.Truncated {
		fmt.Fprintf(w, "\nOnly the first %d hops are shown; raise --limit.\n", len(t.Hops))
	}
}

// Hops that are alike are shown up to shownAlike, unless that hides a single
// one.
const shownAlike = 3

// groups counts the hops that do the same. How deep they are says little: of
// rates that are guessed to follow one another each is deeper than the last.
type groups struct {
	sizes, seen map[alike]int
	hidden      int
}

// alike is what hops of a group have in common.
type alike struct {
	topic, service, event, version string
	status                         api.HopStatus
	sealed                         bool
}

func alikeOf(h api.Hop) alike {
	return alike{h.Coordinates.Topic, h.SourceService, h.EventType, h.EventVersion, h.Status, h.Sealed}
}

func newGroups(hops []api.Hop) *groups {
	g := &groups{sizes: map[alike]int{}, seen: map[alike]int{}}
	for _, h := range hops {
		g.sizes[alikeOf(h)]++
	}
	return g
}

// next tells whether a hop is to be hidden, and, at the first one of its group
// that is, how many are.
func (g *groups) next(h api.Hop) (more int, hide bool) {
	key := alikeOf(h)
	g.seen[key]++
	if g.sizes[key] <= shownAlike+1 || g.seen[key] <= shownAlike {
		return 0, false
	}
	g.hidden++
	if g.seen[key] == shownAlike+1 {
		return g.sizes[key] - shownAlike, true
	}
	return 0, true
}

func marks(h api.Hop) string {
	var text string
	if h.Status != "committed" {
		text += " [" + string(h.Status) + "]"
	}
	if !h.Sealed {
		text += " [fresh]"
	}
	return text
}

// shownParents bounds the lines of a join with many parents.
const shownParents = 4

func showParents(w io.Writer, edges []api.Edge) {
	for i, e := range edges {
		if i == shownParents {
			fmt.Fprintf(w, "      … and %d more parents\n", len(edges)-i)
			return
		}
		from := ""
		switch {
		case e.Parent != nil:
			from = fmt.Sprintf("hop %d", *e.Parent)
		case e.Outside != nil && e.Outside.Ghost:
			from = e.Outside.Id + " (not archived)"
		case e.Outside != nil && e.Outside.Coordinates != nil:
			c := e.Outside.Coordinates
			from = recordText(c.Topic, c.Partition, c.Offset) + " in another trace"
		case e.Outside != nil:
			from = e.Outside.Id + " in another trace"
		}
		how := "declared"
		if !e.Declared {
			how = fmt.Sprintf("inferred, %.0f %%", 100*e.Confidence)
		}
		fmt.Fprintf(w, "      ← %s (%s: %s)\n", from, how, e.Rule)
	}
}

// reachedWords say how a flow came to a hop.
var reachedWords = map[api.ReachedHow]string{
	"cause": "named as a cause", "effect": "names as its cause", "forwarded": "tied by forwarded trace headers",
	"shared_id": "shares an id, a guess", "trace": "in the same trace as one that was come to",
}

func showReached(w io.Writer, hop *api.Hop) {
	r := hop.Reached
	if r == nil {
		return
	}
	from := ""
	if r.From != nil {
		from = fmt.Sprintf(", from hop %d", *r.From)
	}
	fmt.Fprintf(w, "      beyond the trace: %s (%s)%s, step %d; trace %s\n", reachedWords[r.How], terminal.Line(r.Id), from, r.Step, cmp.Or(hop.TraceId, "none"))
}

func showFlow(w io.Writer, f *api.Flow) {
	if f == nil {
		return
	}
	fmt.Fprintf(w, "\nFollowed over %d steps, among records of %s to %s.\n", f.Steps, f.From.UTC().Format("2006-01-02"), f.To.UTC().Format("2006-01-02"))
	for _, c := range f.Cuts {
		id := ""
		if c.Id != nil {
			id = " " + terminal.Line(*c.Id)
		}
		switch c.Why {
		case "hub":
			fmt.Fprintf(w, "Not followed:%s leads to %d records, too many to mean anything.\n", id, c.Records)
		case "limit":
			fmt.Fprintf(w, "Cut at %d hops: raise --limit.\n", c.Records)
		case "steps":
			fmt.Fprintf(w, "Not gone on from the last %d records: they are as many steps away as are taken.\n", c.Records)
		case "reads", "unread":
			fmt.Fprintf(w, "%d records were not read for ids.\n", c.Records)
		default:
			fmt.Fprintf(w, "The index gave not all that the ids lead to, only %d records.\n", c.Records)
		}
	}
}

func showDiff(w io.Writer, d *api.Diff) {
	if !d.Comparable {
		if d.Note != nil {
			fmt.Fprintf(w, "        %s\n", *d.Note)
		}
		return
	}
	folded := 0
	for _, c := range d.Changes {
		if c.Envelope != nil && *c.Envelope {
			folded++
			continue
		}
		switch c.Op {
		case "add":
			fmt.Fprintf(w, "        + %s = %s\n", terminal.Line(c.Path), short(c.To))
		case "remove":
			fmt.Fprintf(w, "        - %s (was %s)\n", terminal.Line(c.Path), short(c.From))
		case "move":
			from := ""
			if c.MovedFrom != nil {
				from = *c.MovedFrom
			}
			fmt.Fprintf(w, "        > %s from %s\n", terminal.Line(c.Path), terminal.Line(from))
		default:
			fmt.Fprintf(w, "        ~ %s: %s → %s\n", terminal.Line(c.Path), short(c.From), short(c.To))
		}
	}
	if folded > 0 {
		fmt.Fprintf(w, "        (and %d contract fields that every hop rewrites)\n", folded)
	}
	if d.Truncated {
		fmt.Fprintln(w, "        (more changes than are shown)")
	}
}

// short is a value on one line.
func short(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(raw) > 80 {
		return string(raw[:77]) + "…"
	}
	return string(raw)
}
