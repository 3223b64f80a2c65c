package archiver

import (
	"context"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// passage is one going through a stream's commits: under which version each is
// read, and what has to be deleted after it. One goroutine.
type passage struct {
	*catchup
	named map[int64]index.Range // what the index has, by seq
	tried map[int64]bool        // of which it has summaries, from the first commit on that it does not name; nil: not asked for

	lacking bool          // only what the index does not have under these rules
	claimed index.Version // of a reindex, which reads what the index has under these rules, too; 0: of a catch-up
	since   int64         // of a reindex: only segments with records from here on, milliseconds since the Unix epoch

	passes func(c *schema.Commit, err error) // told of those that are damaged, after which it goes on
	// Of a reindex, else nil: told of each commit that the index has taken, and of
	// each that is left as it is.
	reached func(c *schema.Commit, records int64)
	left    func(c *schema.Commit)

	rows []index.SegmentRow // read again, their rows inserted, not yet named
}

// leaves tells that a commit need not be looked at: the index has it, and that is
// enough; or from a newer program; or whoever asked for it to be read again did not
// mean records so old.
func (p *passage) leaves(c *schema.Commit) bool {
	was, ok := p.named[c.Seq]
	if ok && (was.Version.Rules() > schema.ExtractVersion || p.lacking && was.Version.Rules() == schema.ExtractVersion) {
		return true
	}
	if p.claimed == 0 || c.Segment == nil || c.Segment.MaxTimestamp >= p.since {
		return false
	}
	return ok && was.Version.Rules() == schema.ExtractVersion
}

// version is the one under which a commit's rows go into the index: another
// than the index names wherever they may be others.
func (p *passage) version(c *schema.Commit) index.Version {
	was, ok := p.named[c.Seq]
	switch {
	case p.claimed != 0:
		return p.claimed
	case !ok || was.Version.Rules() != schema.ExtractVersion:
		return index.Fresh
	}
	return was.Version
}

// atOnce is how many commits that were read again are named together: each time
// their old summaries have to be deleted, which looks through the tables.
const atOnce = 64

// done names a commit's rows, all of which the index has now.
func (p *passage) done(ctx context.Context, row index.SegmentRow) error {
	was, ok := p.named[row.Seq]
	// Rows that this one is to be told from: those that are named, and of what is
	// not, fresh ones.
	first := !ok && row.Version == index.Fresh
	if first {
		if err := p.findTried(ctx, &row); err != nil {
			return err
		}
		first = !p.tried[row.Seq]
	}
	if ok && was.Version == row.Version || first {
		return p.index.InsertSegments(ctx, []index.SegmentRow{row})
	}
	row.Again = true
	p.rows = append(p.rows, row)
	if len(p.rows) < atOnce {
		return nil
	}
	return p.flush(ctx)
}

// findTried asks once which commits from one on have summaries, though some of
// them are not named: an attempt that ended left them, perhaps by other rules.
func (p *passage) findTried(ctx context.Context, row *index.SegmentRow) (err error) {
	if p.tried == nil {
		p.tried, err = p.index.Summarised(ctx, row.Stream, row.Seq)
	}
	return err
}

// flush names what is waiting; from then on the rows read before do not count.
// What another has named under a later version since is left to it, and so are
// its summaries: there are no two of a commit.
func (p *passage) flush(ctx context.Context) error {
	if len(p.rows) == 0 {
		return nil
	}
	named, err := p.index.Named(ctx, p.rows[0].Stream, p.rows[0].Seq)
	if err != nil {
		return err
	}
	var naming []index.SegmentRow
	var stale []index.Range
	for i := range p.rows {
		row := &p.rows[i]
		r := index.Range{
			TopicID: row.Stream.TopicID, Partition: row.Stream.Partition, Branch: row.Branch, Base: row.Base, Next: row.Next, Version: row.Version,
		}
		if now, ok := named[row.Seq]; ok && now.Version > row.Version {
			r.Version = now.Version
		} else {
			naming = append(naming, *row)
		}
		stale = append(stale, r)
	}
	if err := p.index.InsertSegments(ctx, naming); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.catchup.stale = append(p.catchup.stale, stale...)
	p.rows = nil
	return nil
}

// staleBatch is how many ranges are worth a deletion while others are waiting:
// each looks through the tables. maxStale bounds them where none succeeds.
const (
	staleBatch = 200
	maxStale   = 100_000
)

// forget deletes the rows that other rules had read, where there are enough
// ranges of them. They do not count, so a failure only leaves them there.
func (c *catchup) forget(ctx context.Context, enough int) {
	c.mu.Lock()
	ranges := c.stale
	if len(ranges) < enough {
		c.mu.Unlock()
		return
	}
	c.stale = nil
	c.mu.Unlock()
	if err := c.index.Forget(ctx, ranges); err != nil {
		if ctx.Err() == nil {
			c.log.Warn("rows of earlier rules stay in the index, where they do not count", "ranges", len(ranges), "err", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.stale)+len(ranges) <= maxStale {
			c.stale = append(c.stale, ranges...)
		}
	}
}
