package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/term"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds of a scan, where Options do not say otherwise.
const (
	DefaultScanBytes = 1 << 30
	DefaultScanTime  = 30 * time.Second
	progressEvery    = 250 * time.Millisecond
	progressRows     = 1024 // between two looks at the clock
)

// Scan reads the archive itself for records by their keys, headers and payloads,
// and everything else that a search can be narrowed by. It reads whole segments,
// those with the newest records first, within the topics and times of the query
// that the principal may see, until it found as many as were asked for or has
// read what Options allow. What it cannot see, records that are not sealed, it
// counts. It needs no index.
//
// tell is called for each record found, and with progress a few times a second;
// the other one is nil. An error of its ends the scan.
func (e *Engine) Scan(ctx context.Context, who policy.Principal, request answer.ScanRequest, tell func(*answer.Hit, *answer.ScanProgress) error) (*answer.Scan, error) {
	if err := bound(&request.Limit, DefaultPage, MaxPage); err != nil {
		return nil, err
	}
	sought, err := term.Parse(request.Query, time.Now())
	if err != nil {
		return nil, schema.InvalidField("q", "%w", err)
	}
	s := &scanning{engine: e, match: newMatcher(sought, e), limit: request.Limit, tell: tell, began: time.Now()}
	s.end.Unsealed = -1
	if c, err := e.catalog(ctx); err == nil {
		s.end.Unsealed = c.unsealed(who, s.match.topic)
	}
	pieces, err := e.scanned(ctx, who, s.match, &s.end)
	if err != nil {
		return nil, err
	}
	for _, p := range pieces {
		s.end.OfSegments++
		s.end.OfRecords += p.rows
		s.end.OfBytes += p.Ref.Bytes
	}
	err = s.run(ctx, pieces)
	s.end.Opaque, s.end.Withheld = s.match.opaque, s.match.withheld
	return &s.end, err
}

// unsealed counts what is indexed of topics and not sealed.
func (c *catalog) unsealed(who policy.Principal, wanted func(string) bool) (n int64) {
	for _, branches := range c.streams {
		b := branches[len(branches)-1]
		if who.Topics.Allows(b.Stream.Topic) && wanted(b.Stream.Topic) {
			n += max(0, b.FreshNext-b.Next)
		}
	}
	return n
}

// piece is a segment that a scan reads, of the latest view of its stream.
type piece struct {
	ledger.Segment
	stream schema.Stream
	rows   int64
}

// scanned gives the segments in range, those with the newest records first, and
// tells which topics that were asked for are not there.
func (e *Engine) scanned(ctx context.Context, who policy.Principal, m *matcher, end *answer.Scan) ([]piece, error) {
	views, err := e.viewsOf(ctx, func(s schema.Stream) bool {
		return who.Topics.Allows(s.Topic) && m.topic(s.Topic) && (m.Partition == nil || *m.Partition == s.Partition)
	})
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	var pieces []piece
	for _, v := range views {
		there[v.Stream.Topic] = true
		for _, s := range v.Current() {
			if m.overlaps(s.Ref.MinTimestamp, s.Ref.MaxTimestamp) {
				pieces = append(pieces, piece{Segment: s, stream: v.Stream, rows: s.Records.Rows()})
			}
		}
	}
	for _, t := range m.Topics {
		if !t.Prefix && !there[t.Text] {
			end.Unknown = append(end.Unknown, answer.UnknownTopic{Topic: t.Text})
		}
	}
	slices.SortFunc(pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(b.Ref.MaxTimestamp, a.Ref.MaxTimestamp), strings.Compare(a.Ref.Key, b.Ref.Key))
	})
	return pieces, nil
}

// scanning is one scan while it runs. One goroutine has it.
type scanning struct {
	engine *Engine
	match  *matcher
	limit  int
	tell   func(*answer.Hit, *answer.ScanProgress) error
	began  time.Time
	told   time.Time // of the last progress
	end    answer.Scan
}

func (s *scanning) run(ctx context.Context, pieces []piece) error {
	for _, p := range pieces {
		if s.end.Bytes > 0 && s.end.Bytes+p.Ref.Bytes > s.engine.options.ScanBytes {
			s.end.Stopped = answer.StoppedByBytes
			return nil
		}
		before := s.end.ScanProgress
		rows, err := s.read(ctx, p)
		if err != nil {
			return fmt.Errorf("scan %s: %w", p.stream, err)
		}
		s.end.ScanProgress = s.partly(before, p, rows)
		if s.end.Stopped != "" {
			return nil
		}
		s.end.ScanProgress = answer.ScanProgress{
			Segments: before.Segments + 1, OfSegments: before.OfSegments,
			Records: before.Records + p.rows, OfRecords: before.OfRecords, Bytes: before.Bytes + p.Ref.Bytes, OfBytes: before.OfBytes,
		}
	}
	return nil
}

// partly is the progress with some rows of a segment read.
func (s *scanning) partly(before answer.ScanProgress, p piece, rows int64) answer.ScanProgress {
	if before.Records += min(rows, p.rows); p.rows > 0 {
		before.Bytes += int64(float64(p.Ref.Bytes) * float64(min(rows, p.rows)) / float64(p.rows))
	}
	return before
}

// read looks through one segment and gives how many of its rows it saw. Where
// its object is gone, joined with others since the view was read, the view that
// is read anew says where the rows are now.
func (s *scanning) read(ctx context.Context, p piece) (int64, error) {
	rows, err := s.readObject(ctx, p, segmentRef{p.Ref.Key, p.Ref.Bytes}, p.Base, p.Until)
	if schema.KindOf(err) != schema.NotFound || rows > 0 {
		return rows, err
	}
	v, err := s.engine.view(ctx, p.stream)
	if err != nil {
		return 0, err
	}
	for at := p.Base; at < p.Until; {
		now, ok := v.Holding(p.Branch, at)
		if !ok || now.Ref.Key == p.Ref.Key {
			return rows, schema.Errorf(schema.Corrupt, "segment %s, which the ledger names, is missing", p.Ref.Key)
		}
		some, err := s.readObject(ctx, p, segmentRef{now.Ref.Key, now.Ref.Bytes}, at, min(p.Until, now.Next))
		if rows += some; err != nil || s.end.Stopped != "" {
			return rows, err
		}
		at = now.Next
	}
	return rows, nil
}

func (s *scanning) readObject(ctx context.Context, p piece, ref segmentRef, from, to int64) (rows int64, err error) {
	reader, done, err := s.engine.segments.openForRows(ctx, s.engine.options.Store, ref)
	if err != nil {
		return 0, err
	}
	defer done()
	before := s.end.ScanProgress
	for row, err := range reader.Rows(ctx, from, to, segment.All) {
		if err != nil {
			return rows, err
		}
		if rows++; rows%progressRows == 0 {
			if err := s.tick(s.partly(before, p, rows)); err != nil || s.end.Stopped != "" {
				return rows, err
			}
		}
		x := s.match.row(row)
		if x == nil {
			continue
		}
		hit := s.hit(&row.Record, x)
		if err := s.tell(&hit, nil); err != nil {
			return rows, err
		}
		if s.end.Found++; s.end.Found == s.limit {
			s.end.Stopped = answer.StoppedByLimit
			return rows, nil
		}
	}
	return rows, s.tick(s.partly(before, p, rows))
}

// tick tells how far the scan is, now and then, and stops it when its time is
// over.
func (s *scanning) tick(p answer.ScanProgress) error {
	now := time.Now()
	if now.Sub(s.began) > s.engine.options.ScanTime {
		s.end.Stopped = answer.StoppedByTime
	}
	if now.Sub(s.told) < progressEvery {
		return nil
	}
	s.told = now
	return s.tell(nil, &p)
}

func (s *scanning) hit(r *schema.Record, x *schema.Extraction) answer.Hit {
	h := hitOf(r, x, true)
	h.Stage, h.Errors = s.match.stages.of(r.Topic, x.EventType, x.Stage), slices.Clone(x.Errors) // the row is the reader's
	return h
}

// statusesOf gives the statuses that a word of the language names.
func statusesOf(word string) []schema.Status {
	switch word {
	case "":
		return []schema.Status{schema.Committed}
	case "all":
		return []schema.Status{schema.Committed, schema.Aborted, schema.Control}
	default:
		status, _ := schema.ParseStatus(word) // term knows the same words
		return []schema.Status{status}
	}
}
