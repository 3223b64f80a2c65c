package replay

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// checkSources holds what is left of the plan against the ledger and the store
// as they are now, before anything is produced: what was joined into another
// object is read from there, what was purged or is not there ends the job with
// the names of what is missing.
func (a *attempt) checkSources(ctx context.Context) error {
	var gone missing
	group, checking := errgroup.WithContext(ctx)
	group.SetLimit(inParallel)
	for i := range a.lanes {
		l := &a.lanes[i]
		group.Go(func() error { return a.checkLane(checking, l, &gone) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return gone.err()
}

func (a *attempt) checkLane(ctx context.Context, l *lane, m *missing) error {
	view, err := a.ledger.View(ctx, l.source(), nil)
	if err != nil {
		return fmt.Errorf("look for the planned segments of %s: %w", l.source(), err)
	}
	for i := range l.stream.Segments {
		p := &l.stream.Segments[i]
		now, ok := view.Holding(p.Branch, p.From)
		switch {
		case !ok:
			m.add(p.Records, "%s offsets %d to %d, %s", l.source(), p.From, p.Next, purgedBy(view, p))
			continue
		case p.Key == now.Ref.Key:
		default:
			p = &segmentPlan{Key: now.Ref.Key, From: p.From, Next: p.Next, Records: p.Records}
		}
		_, err := a.store.Stat(ctx, p.Key)
		switch {
		case schema.KindOf(err) == schema.NotFound:
			m.add(p.Records, "%s offsets %d to %d: the object %s is not there", l.source(), p.From, p.Next, p.Key)
		case err != nil:
			return segmentError(p, err)
		}
	}
	return nil
}

func purgedBy(view *ledger.View, p *segmentPlan) string {
	for _, purge := range view.Purged {
		if purge.Base < p.Next && p.From < purge.Next {
			return fmt.Sprintf("purged by commit %d", purge.Seq)
		}
	}
	return "which no segment of the ledger holds"
}

// source is the partition as the ledger names it.
func (l *lane) source() schema.Stream {
	return schema.Stream{Cluster: l.topic.Cluster, Topic: l.topic.Source, TopicID: l.topic.TopicID, Partition: l.stream.Partition}
}

// missing collects what a plan names and the archive has no more.
type missing struct {
	mu       sync.Mutex
	first    []string
	segments int
	records  int64
}

func (m *missing) add(records int64, format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.segments, m.records = m.segments+1, m.records+records
	if len(m.first) < mostNamed {
		m.first = append(m.first, fmt.Sprintf(format, args...))
	}
}

func (m *missing) err() error {
	if m.segments == 0 {
		return nil
	}
	more := ""
	if m.segments > len(m.first) {
		more = fmt.Sprintf("; and %d segments more", m.segments-len(m.first))
	}
	return schema.WithHint(schema.Errorf(schema.NotFound, "%d records of the plan, in %d segments, are no longer archived: %s%s",
		m.records, m.segments, strings.Join(m.first, "; "), more), "plan the selection again: the new plan says what is left of it")
}
