package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

// coverageCommand is annals coverage.
type coverageCommand struct {
	asking
	Topic     string `arg:"" optional:"" help:"Only this topic."`
	Gaps      bool   `help:"List the gaps instead, the newest found first: class, range, when it was found, and the broker's answers from which the class follows."`
	Partition int32  `default:"-1" placeholder:"N" help:"With --gaps: only this partition."`
	Class     string `placeholder:"CLASS" help:"With --gaps: only this class: before_genesis, before_log_start, cleaned, unreadable or unexplained."`
	Limit     int    `default:"200" help:"With --gaps: at most so many; 0 is all."`
}

// gapClasses are what --class takes.
var gapClasses = []string{
	string(api.BeforeGenesis), string(api.BeforeLogStart), string(api.Cleaned), string(api.Unreadable), string(api.Unexplained),
}

// Run implements kong's command.
func (c *coverageCommand) Run(ctx context.Context, in *invocation) error {
	if c.Class != "" && !slices.Contains(gapClasses, c.Class) {
		return schema.InvalidField("--class", "--class %q is none of %s", c.Class, strings.Join(gapClasses, ", "))
	}
	if !c.Gaps && (c.Class != "" || c.Partition >= 0) {
		return schema.Errorf(schema.Invalid, "--class and --partition choose among gaps: add --gaps")
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	if c.Gaps {
		page, err := c.gaps(ctx, server)
		if err != nil {
			return err
		}
		return c.print(in.out, page, func(w io.Writer) { showGaps(w, page) })
	}
	coverage, err := server.Coverage(ctx, c.Topic)
	if err != nil {
		return err
	}
	return c.print(in.out, coverage, func(w io.Writer) { showCoverage(w, coverage) })
}

// gaps lists gaps up to the limit.
func (c *coverageCommand) gaps(ctx context.Context, server *client.Client) (*api.GapPage, error) {
	all := &api.GapPage{Gaps: []api.TopicGap{}}
	params := api.ListGapsParams{Topic: pointer(c.Topic), Class: pointer(api.ListGapsParamsClass(c.Class))}
	if c.Partition >= 0 {
		params.Partition = &c.Partition
	}
	err := turnPages(c.Limit, func(size int, cursor *string) (int, *string, error) {
		params.Limit, params.Cursor = &size, cursor
		page, err := server.Gaps(ctx, params)
		if err != nil {
			return 0, nil, err
		}
		all.Gaps, all.NextCursor = append(all.Gaps, page.Gaps...), page.NextCursor
		return len(page.Gaps), page.NextCursor, nil
	})
	return all, err
}

func showGaps(w io.Writer, page *api.GapPage) {
	if len(page.Gaps) == 0 {
		fmt.Fprintln(w, "No gaps.")
		return
	}
	table(w, "FOUND|PARTITION|CLASS|FROM|TO|OFFSETS|BRANCH|COMMIT|EVIDENCE", func(row func(...any)) {
		for _, g := range page.Gaps {
			evidence := said(g.Evidence)
			if g.Object != nil {
				evidence += " (kept as " + *g.Object + ")"
			}
			row(moment(&g.Found), fmt.Sprintf("%s/%d", g.Topic, g.Partition), g.Class, g.From, g.To, g.To-g.From, g.Branch, g.Commit, evidence)
		}
	})
	if page.NextCursor != nil {
		fmt.Fprintf(w, "These are the newest %d; --limit 0 lists all.\n", len(page.Gaps))
	}
}

func showCoverage(w io.Writer, coverage *api.Coverage) {
	several := namesakes(coverage)
	showClusters(w, coverage, several)
	table(w, "PARTITION|FROM|SEALED TO|FRESH TO|LAG|COMMITTED|ABORTED|CONTROL|GAPS|ACCOUNTED|SEGMENTS|LAST SEALED", func(row func(...any)) {
		for _, p := range coverage.Partitions {
			name := fmt.Sprintf("%s/%d", p.Topic, p.Partition)
			if several[p.Topic] {
				name += " (" + p.TopicId + ")"
			}
			row(name, from(p.ArchivedFrom, p.StartPolicy), p.ArchivedTo, p.FreshTo, behind(&p),
				p.Counts.Committed, p.Counts.Aborted, p.Counts.Control, classes(p.GapClasses, p.Purged),
				accounted(p.Offsets, p.Unaccounted), p.Segments, moment(p.LastSealed))
			for _, b := range p.Branches {
				row(fmt.Sprintf("  branch %d", b.Branch), b.From, b.To, "", "", b.Counts.Committed, b.Counts.Aborted, b.Counts.Control,
					classes(b.GapClasses, b.Purged), accounted(b.Offsets, b.Unaccounted)+superseded(b), "", "")
			}
		}
	})
	if len(coverage.Partitions) == 0 {
		fmt.Fprintln(w, "Nothing is archived yet.")
	}
	if len(coverage.NotArchived) > 0 {
		fmt.Fprintln(w)
		table(w, "NOT ARCHIVED|WHY", func(row func(...any)) {
			for _, t := range coverage.NotArchived {
				row(t.Topic, t.Reason)
			}
		})
	}
	for _, note := range coverage.Notes {
		fmt.Fprintf(w, "\nNote: %s.\n", note)
	}
}

// showClusters lists the topic IDs and clusters of names that several topics
// have: a topic made anew, or one of another cluster.
func showClusters(w io.Writer, coverage *api.Coverage, several map[string]bool) {
	if len(several) == 0 {
		return
	}
	table(w, "TOPIC|TOPIC ID|CLUSTER", func(row func(...any)) {
		said := map[string]bool{}
		for _, p := range coverage.Partitions {
			if several[p.Topic] && !said[p.Cluster+"/"+p.TopicId] {
				said[p.Cluster+"/"+p.TopicId] = true
				row(p.Topic, p.TopicId, p.Cluster)
			}
		}
	})
	fmt.Fprintln(w)
}

// namesakes are the names that more than one topic has.
func namesakes(coverage *api.Coverage) map[string]bool {
	first, several := map[string]string{}, map[string]bool{}
	for _, p := range coverage.Partitions {
		id := p.Cluster + "/" + p.TopicId
		if known, ok := first[p.Topic]; ok && known != id {
			several[p.Topic] = true
		}
		first[p.Topic] = id
	}
	return several
}

// from is the first offset; what is below it is out of scope.
func from(offset int64, policy string) string {
	if offset == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", offset, policy)
}

func classes(list []api.ClassCount, purged int64) string {
	var parts []string
	for _, c := range list {
		part := fmt.Sprintf("%d %s in %d", c.Offsets, c.Class, c.Ranges)
		if c.Class == "unexplained" {
			part = "ALARM " + part
		}
		parts = append(parts, part)
	}
	if purged > 0 {
		parts = append(parts, fmt.Sprintf("%d purged", purged))
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}

// accounted never rounds up to 100 %.
func accounted(offsets, unaccounted int64) string {
	switch {
	case unaccounted == 0:
		return "100 %"
	case unaccounted < 0:
		return fmt.Sprintf("ALARM: %d offsets counted twice", -unaccounted)
	default:
		share := float64(offsets-unaccounted) / float64(offsets) * 100
		return fmt.Sprintf("ALARM: %.2f %%, %d offsets missing", min(share, 99.99), unaccounted)
	}
}

// behind is the lag; of a topic that was deleted, what went with it.
func behind(p *api.PartitionCoverage) string {
	switch {
	case !p.Ended:
		return strconv.FormatInt(p.Lag, 10)
	case p.WentOffsets == nil:
		return "ended, what went is not known"
	case *p.WentOffsets > 0:
		return fmt.Sprintf("ended, %d offsets went unarchived", *p.WentOffsets)
	default:
		return "ended"
	}
}

func superseded(b api.BranchCoverage) string {
	if b.Until >= b.To {
		return ""
	}
	return fmt.Sprintf(", superseded from %d", b.Until)
}
