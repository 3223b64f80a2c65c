package archiver

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/telemetry"
)

// mostCommits is how many commits' rows go into one insert.
const mostCommits = 256

// gathering are commits' rows that wait for others. An insert of them costs
// ClickHouse a part in each of several tables and months, and a look-up,
// however few they are.
type gathering struct {
	commits []sealedRow
	full    <-chan time.Time // from when on they wait no longer; nil: none wait
	hurried bool             // somebody waits for them
}

// next takes the next item from the queue, or what was gathered when it is
// time; false when ctx has ended.
func (f *feed) next(ctx context.Context, g *gathering) (next item, ok bool) {
	for len(g.commits) < mostCommits {
		select {
		case <-ctx.Done():
			return next, false
		case next = <-f.queue:
			if next.fresh() {
				return next, true
			}
			if g.commits = append(g.commits, next.commits...); g.full == nil {
				g.full = time.After(feedSealed * f.pace.Every)
			}
			continue
		case <-f.hurry:
			if g.full != nil && !g.hurried { // others come while somebody waits, too
				g.hurried, g.full = true, time.After(f.pace.Every/feedHurry)
			}
			continue
		case <-g.full:
		}
		break
	}
	next, *g = item{commits: g.commits}, gathering{}
	return next, true
}

// insertSegments makes commits' records sealed in the index, of those that were
// all inserted fresh; the others the catch-up reads from S3.
func (f *feed) insertSegments(ctx context.Context, commits []sealedRow) {
	rows := make([]index.SegmentRow, 0, len(commits))
	var places []telemetry.Place
	for i := range commits {
		row := &commits[i].row
		f.mu.Lock()
		have := f.progress[row.Stream.Key()]
		f.mu.Unlock()
		if row.Records.Rows() > 0 && (have.branch != row.Branch || have.from > row.Base || have.to < commits[i].rowsEnd) {
			f.catchup.compare(row.Stream)
			continue
		}
		rows, places = append(rows, *row), append(places, commits[i].trace)
	}
	if len(rows) == 0 {
		return
	}
	began := time.Now()
	defer f.at(f.remote, onIndex, "inserting commits into the index")()
	err := f.index.InsertSegments(ctx, rows)
	f.traced(ctx, places, began, err)
	f.outcome(ctx, err)
	if err != nil {
		for i := range rows {
			f.catchup.compare(rows[i].Stream)
		}
	}
}

// traced makes a span of an insert for each commit that was in it.
func (f *feed) traced(ctx context.Context, places []telemetry.Place, began time.Time, err error) {
	if f.tracer == nil {
		return
	}
	for _, place := range places {
		_, span := f.tracer.StartAt(place.In(ctx), began, "index")
		span.End(err)
	}
}
