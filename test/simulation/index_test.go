//go:build synctests

package simulation

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// Errors of the index: it took nothing, or every other row.
var (
	errIndexAway = schema.Errorf(schema.Unavailable, "the index is away")
	errIndexHalf = schema.Errorf(schema.Unavailable, "the index broke off")
)

// set is an index in memory: which rows and which commits it was given.
type set struct {
	fail func() error

	mu      sync.Mutex
	rows    map[schema.Position]bool
	commits map[schema.TopicID]map[int32]map[int64]bool
}

func newSet() *set {
	return &set{rows: map[schema.Position]bool{}, commits: map[schema.TopicID]map[int32]map[int64]bool{}}
}

func (x *set) InsertRecords(_ context.Context, rows []index.Row, _ time.Time) error {
	err := x.fail()
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, row := range rows {
		if err != nil && (i%2 == 1 || errors.Is(err, errIndexAway)) {
			continue
		}
		x.rows[row.Record.Position()] = true
	}
	return err
}

func (x *set) InsertSegments(_ context.Context, rows []index.SegmentRow) error {
	err := x.fail()
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range rows {
		if err != nil && (i%2 == 1 || errors.Is(err, errIndexAway)) {
			continue
		}
		x.insert(&rows[i])
	}
	return err
}

// noteCommit is what the writer of a commit that no archiver made tells the index.
func (x *set) noteCommit(row index.SegmentRow) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.insert(&row)
}

// insert notes one commit. Needs mu.
func (x *set) insert(row *index.SegmentRow) {
	topic := x.commits[row.Stream.TopicID]
	if topic == nil {
		topic = map[int32]map[int64]bool{}
		x.commits[row.Stream.TopicID] = topic
	}
	if topic[row.Stream.Partition] == nil {
		topic[row.Stream.Partition] = map[int64]bool{}
	}
	topic[row.Stream.Partition][row.Seq] = true
}

// Summarised implements archiver.Index: the set keeps no summaries.
func (x *set) Summarised(context.Context, schema.Stream, int64) (map[int64]bool, error) {
	return map[int64]bool{}, x.fail()
}

func (x *set) FirstMissing(_ context.Context, s schema.Stream, _ int32) (int64, error) {
	if err := x.fail(); err != nil {
		return 0, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	seqs := x.commits[s.TopicID][s.Partition]
	for seq := int64(0); ; seq++ {
		if !seqs[seq] {
			return seq, nil
		}
	}
}

// Named says nothing of versions: here no rules change, and a set has no rows
// that could be stale.
func (x *set) Named(context.Context, schema.Stream, int64) (map[int64]index.Range, error) {
	return nil, x.fail()
}

func (x *set) Claim(context.Context, schema.Stream, string) (index.Version, error) {
	return index.Fresh, x.fail()
}

func (x *set) Forget(context.Context, []index.Range) error { return x.fail() }
