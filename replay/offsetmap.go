package replay

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// offsetsFormat names this version of a piece of an offset map.
const offsetsFormat = "annals.replay-offsets/1"

// mostRuns bounds a piece, and maxPieceBytes its object.
const (
	mostRuns      = 50_000
	maxPieceBytes = 8 << 20
)

// offsetRun is N records whose offsets follow each other both in the source
// and in the target: it is written as [source, target, n].
type offsetRun [3]int64

// offsetPiece is an object of the map of one partition, its runs by source
// offset and so by target offset too. Its name is the SHA-256 of its bytes.
type offsetPiece struct {
	Format string      `json:"format"`
	Job    string      `json:"job"`
	Runs   []offsetRun `json:"runs"`
}

func pieceKey(id string, sum schema.Digest) string {
	return schema.ReplayPrefix + id + "/offsets/" + sum.String() + ".json"
}

// mapper keeps where the records of one partition went.
type mapper struct {
	*attempt
	runs   []offsetRun
	pieces []answer.OffsetPiece
	most   int // runs of a piece; 0: mostRuns
}

func (m *mapper) add(ctx context.Context, source, target int64) error {
	if n := len(m.runs) - 1; n >= 0 && m.runs[n][0]+m.runs[n][2] == source && m.runs[n][1]+m.runs[n][2] == target {
		m.runs[n][2]++
		return nil
	}
	if len(m.runs) == cmp.Or(m.most, mostRuns) {
		if err := m.flush(ctx); err != nil {
			return err
		}
	}
	m.runs = append(m.runs, offsetRun{source, target, 1})
	return nil
}

// flush keeps the runs. What it writes follows from the source and the target
// alone, so that a second attempt writes the same objects.
func (m *mapper) flush(ctx context.Context) error {
	if len(m.runs) == 0 {
		return nil
	}
	body, err := json.Marshal(offsetPiece{offsetsFormat, m.claim.id, m.runs})
	if err != nil {
		return fmt.Errorf("encode offsets: %w", err)
	}
	sum := schema.Digest(sha256.Sum256(body))
	if err := m.keepByContent(ctx, pieceKey(m.claim.id, sum), body); err != nil {
		return err
	}
	first, last := m.runs[0], m.runs[len(m.runs)-1]
	m.pieces = append(m.pieces, answer.OffsetPiece{
		SHA256: sum, SourceFrom: first[0], SourceTo: last[0] + last[2], TargetFrom: first[1], TargetTo: last[1] + last[2],
	})
	m.runs = m.runs[:0]
	return nil
}

// keepByContent writes an object whose name is its content.
func (s *Service) keepByContent(ctx context.Context, key string, body []byte) error {
	pauses := retry.Between(100*time.Millisecond, time.Second)
	for attempt := 1; ; attempt++ {
		_, err := s.store.PutIfAbsent(ctx, key, body)
		if err == nil || errors.Is(err, objstore.ErrExists) {
			return nil
		}
		if attempt == 5 || !errors.Is(err, objstore.ErrBusy) && !errors.Is(err, objstore.ErrUncertain) {
			return fmt.Errorf("keep %s: %w", key, err)
		}
		if err := pauses.Wait(ctx); err != nil {
			return err
		}
	}
}

// MapOffset tells where a source record stands in its target, or which source
// record stands at an offset of a target: exactly one of source and target is
// given, and topic names the topic that it is an offset of. NotFound tells that
// there is no such record in the replay; Conflict that it has no receipt that
// matches yet, or one of before offsets were kept.
func (s *Service) MapOffset(ctx context.Context, who policy.Principal, id string, q answer.OffsetQuery) (*answer.OffsetPair, error) {
	if (q.Source == nil) == (q.Target == nil) {
		return nil, schema.InvalidField("source", "give an offset of the source or of the target, one of them")
	}
	st, err := s.job(ctx, who, id)
	if err != nil {
		return nil, err
	}
	switch {
	case st.Plan.Request.TargetFile != "":
		return nil, schema.Errorf(schema.Conflict, "replay %s wrote files: each record stands there beside its own topic, partition and offset", st.ID)
	case st.Receipt == nil || !st.Receipt.Matches:
		return nil, schema.Errorf(schema.Conflict, "replay %s is %s: its offsets are known when its receipt matches", st.ID, st.State)
	}
	for i := range st.Receipt.Partitions {
		line := &st.Receipt.Partitions[i]
		if q.Source != nil && (line.Source != q.Topic || line.Partition != q.Partition) ||
			q.Target != nil && (line.Target != q.Topic || targetPartition(line) != q.Partition) {
			continue
		}
		if line.Offsets == nil && line.Planned > 0 {
			return nil, schema.Errorf(schema.Conflict, "replay %s keeps no offsets: a version of Annals delivered it that did not", st.ID)
		}
		pair, err := s.lookUp(ctx, st.ID, line, q)
		if err != nil || pair != nil {
			return pair, err
		}
	}
	at := cmp.Or(q.Source, q.Target)
	return nil, schema.Errorf(schema.NotFound, "no record of replay %s stands at %s/%d offset %d", st.ID, q.Topic, q.Partition, *at)
}

// targetPartition is where a receipt's line says that its records went.
func targetPartition(line *answer.ReceiptPartition) int32 {
	if line.TargetPartition != nil {
		return *line.TargetPartition
	}
	return line.Partition
}

// lookUp searches one partition; nil if it has no such record.
func (s *Service) lookUp(ctx context.Context, id string, line *answer.ReceiptPartition, q answer.OffsetQuery) (*answer.OffsetPair, error) {
	side, at := 0, q.Source
	if q.Target != nil {
		side, at = 1, q.Target
	}
	for _, piece := range line.Offsets {
		from, to := piece.SourceFrom, piece.SourceTo
		if side == 1 {
			from, to = piece.TargetFrom, piece.TargetTo
		}
		if *at < from || *at >= to {
			continue
		}
		runs, err := s.loadPiece(ctx, id, piece.SHA256)
		if err != nil {
			return nil, err
		}
		n, found := slices.BinarySearchFunc(runs, *at, func(r offsetRun, at int64) int { return cmp.Compare(r[side], at) })
		if !found {
			n--
		}
		if n < 0 || *at >= runs[n][side]+runs[n][2] {
			return nil, nil //nolint:nilnil // a gap
		}
		past := *at - runs[n][side]
		return &answer.OffsetPair{
			Source: line.Source, Target: line.Target, Partition: line.Partition, TargetPartition: targetPartition(line), SourceOffset: runs[n][0] + past, TargetOffset: runs[n][1] + past,
		}, nil
	}
	return nil, nil //nolint:nilnil // outside
}

func (s *Service) loadPiece(ctx context.Context, id string, sum schema.Digest) ([]offsetRun, error) {
	raw, _, err := s.store.Get(ctx, pieceKey(id, sum), maxPieceBytes)
	if err != nil {
		return nil, fmt.Errorf("read the offsets of replay %s: %w", id, err)
	}
	var piece offsetPiece
	if err := schema.DecodeStrictly(raw, &piece); err != nil {
		return nil, schema.Errorf(schema.Corrupt, "offsets %s of replay %s: %w", sum, id, err)
	}
	if schema.Digest(sha256.Sum256(raw)) != sum || piece.Format != offsetsFormat || piece.Job != id {
		return nil, schema.Errorf(schema.Corrupt, "offsets %s of replay %s are not what was kept", sum, id)
	}
	return piece.Runs, nil
}
