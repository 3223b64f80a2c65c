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
	again bool                  // read what the index has under these rules, too
	since int64                 // then only segments with records from here on, milliseconds since the Unix epoch

	// For a reindex, which nobody repeats: what is told of each commit that the
	// index has taken, of each that is left as it is, and of those that are
	// damaged, after which it goes on. Each may be nil.
	reached func(c *schema.Commit, records int64)
	left    func(c *schema.Commit)
	passes  func(c *schema.Commit, err error)

	rows []index.SegmentRow // read again, their rows inserted, not yet named
}

// leaves tells that a commit need not be looked at: the index has it, from a
// newer program, or whoever asked for it to be read again did not mean records
// so old.
func (p *passage) leaves(c *schema.Commit) bool {
	was, ok := p.named[c.Seq]
	if ok && was.Version.Rules() > schema.ExtractVersion {
		return true
	}
	if !p.again || c.Segment == nil || c.Segment.MaxTimestamp >= p.since {
		return false
	}
	return ok && was.Version.Rules() == schema.ExtractVersion
}

// version is the one under which a commit's rows go into the index: another
// than the index names wherever they may be others.
func (p *passage) version(c *schema.Commit) (index.Version, error) {
	was, ok := p.named[c.Seq]
	switch {
	case !ok || was.Version.Rules() != schema.ExtractVersion:
		return index.Fresh, nil
	case p.again:
		return was.Version.Again()
	}
	return was.Version, nil
}

// atOnce is how many commits that were read again are named together: each time
// their old summaries have to be deleted, which looks through the tables.
const atOnce = 64

// done names a commit's rows, all of which the index has now.
func (p *passage) done(ctx context.Context, row index.SegmentRow) error {
	was, ok := p.named[row.Seq]
	if !ok || was.Version == row.Version {
		return p.index.InsertSegments(ctx, []index.SegmentRow{row})
	}
	row.Again = true
	p.rows = append(p.rows, row)
	if len(p.rows) < atOnce {
		return nil
	}
	return p.flush(ctx)
}

// flush names what is waiting; from then on the rows read before do not count.
func (p *passage) flush(ctx context.Context) error {
	if err := p.index.InsertSegments(ctx, p.rows); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.rows {
		row := &p.rows[i]
		p.catchup.stale = append(p.catchup.stale, index.Range{
			TopicID: row.Stream.TopicID, Partition: row.Stream.Partition, Branch: row.Branch, Base: row.Base, Next: row.Next, Version: row.Version,
		})
	}
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
