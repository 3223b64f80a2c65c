package ledger

import (
	"bytes"
	"context"
	"fmt"

	"github.com/fx-risk-ai/annals/schema"
)

// maxRollupBytes bounds a rollup: a thousand commits of the largest size, each
// with its newline.
const maxRollupBytes = perRollup * (schema.MaxCommitBytes + 1)

// WriteRollup repeats the commits thousand×1000 … thousand×1000+999 of a
// stream in one object, byte for byte. It is called after every thousandth
// commit; calling it again writes the same bytes. The thousand must be full:
// else the error is Invalid. Rollups are a convenience for readers of whole
// chains, never the truth: what they say is held against the commits around
// them.
func (l *Ledger) WriteRollup(ctx context.Context, s schema.Stream, thousand int64) error {
	if err := checkStream(s); err != nil {
		return err
	}
	var all bytes.Buffer
	at := Head{}
	first, last := thousand*perRollup, (thousand+1)*perRollup-1
	if _, err := l.store.Stat(ctx, schema.CommitKey(s, last)); schema.KindOf(err) == schema.NotFound {
		return schema.Errorf(schema.Invalid, "write rollup %d of %s: commit %d is not there yet: %w", thousand, s, last, err)
	} else if err != nil {
		return fmt.Errorf("write rollup %d: %w", thousand, err)
	}
	for seq := first; seq <= last; {
		batch, err := l.several(ctx, s, seq, min(last, seq+perBatch-1))
		if err != nil {
			return fmt.Errorf("write rollup %d: %w", thousand, err)
		}
		for _, e := range batch {
			if !at.IsZero() && *e.Commit.Previous != at.Digest {
				return schema.Errorf(schema.Corrupt, "write rollup %d: commit %d of %s does not name the one before it", thousand, seq, s)
			}
			at = Head{Commit: e.Commit, Digest: e.Digest}
			all.Write(e.Raw)
			all.WriteByte('\n')
			seq++
		}
	}
	if _, err := l.store.Put(ctx, schema.RollupKey(s, thousand), all.Bytes()); err != nil {
		return fmt.Errorf("write rollup %d: %w", thousand, err)
	}
	return nil
}

// rollup reads the commits from seq to last, the end of a full thousand, from
// that thousand's rollup. It returns nothing where there is none, or where it
// does not fit between the commits around it: then the commits themselves are
// read, and the misfit is logged.
func (w *walk) rollup(ctx context.Context, seq, last int64) ([]Entry, error) {
	thousand := seq / perRollup
	raw, _, err := w.ledger.store.Get(ctx, schema.RollupKey(w.stream, thousand), maxRollupBytes)
	if schema.KindOf(err) == schema.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read rollup %d: %w", thousand, err)
	}
	batch, err := parseRollup(w.stream, thousand, raw)
	if err == nil {
		batch = batch[seq%perRollup:]
		err = w.anchor(ctx, batch, last)
	}
	if schema.KindOf(err) == schema.Corrupt {
		w.ledger.logger.WarnContext(ctx, "rollup does not match its chain: reading the commits themselves; write it anew",
			"key", schema.RollupKey(w.stream, thousand), "err", err)
		return nil, nil
	}
	return batch, err
}

// anchor holds a rollup's two ends against commits read from their own
// objects: the one passed last, and the one behind it, or the head. The hashes
// between bind everything in the rollup to them.
func (w *walk) anchor(ctx context.Context, batch []Entry, last int64) error {
	at := w.at
	for _, e := range batch {
		if err := at.follow(e.Commit); err != nil {
			return err
		}
		at = at.behind(e.Commit, e.Digest)
	}
	if last == w.end.Commit.Seq {
		if at.Digest != w.end.Digest {
			return schema.Errorf(schema.Corrupt, "its last commit is not the head")
		}
		return nil
	}
	behind, err := w.ledger.commit(ctx, w.stream, last+1)
	if err != nil {
		return missing(err, w.stream, last+1)
	}
	if *behind.Commit.Previous != at.Digest {
		return schema.Errorf(schema.Corrupt, "commit %d does not name its last commit", last+1)
	}
	return nil
}

// parseRollup reads a rollup's lines, each one commit's exact bytes.
func parseRollup(s schema.Stream, thousand int64, raw []byte) ([]Entry, error) {
	batch := make([]Entry, 0, perRollup)
	for line := range bytes.Lines(raw) {
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		if !ended || len(batch) == perRollup {
			return nil, schema.Errorf(schema.Corrupt, "rollup %d of %s: more or less than %d whole lines", thousand, s, perRollup)
		}
		e, err := entry(s, thousand*perRollup+int64(len(batch)), text)
		if err != nil {
			return nil, err
		}
		batch = append(batch, e)
	}
	if len(batch) != perRollup {
		return nil, schema.Errorf(schema.Corrupt, "rollup %d of %s: %d lines, want %d", thousand, s, len(batch), perRollup)
	}
	return batch, nil
}
