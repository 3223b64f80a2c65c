package custody

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// stream writes the records of one stream, a file a branch, and the commits
// they came by.
func (j *export) stream(ctx context.Context, i int) error {
	picks, out := j.plan.streams[i].picks, &j.scope.Streams[i]
	for len(picks) > 0 {
		branch := picks[0].part.Branch
		end := slices.IndexFunc(picks, func(p pick) bool { return p.part.Branch != branch })
		if end < 0 {
			end = len(picks)
		}
		if err := j.file(ctx, out, picks[:end]); err != nil {
			return fmt.Errorf("records of %s: %w", out.stream(), err)
		}
		picks = picks[end:]
	}
	j.scope.Records += out.Selected
	return nil
}

// file writes the records that picks of one branch hold; none if they hold no
// match.
func (j *export) file(ctx context.Context, out *streamScope, picks []pick) (err error) {
	spooled, err := j.spool.create("records.parquet")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spooled.drop()) }()
	branch := picks[0].part.Branch
	w, err := segment.NewWriter(spooled, segment.Options{Stream: out.stream(), Branch: branch})
	if err != nil {
		return err
	}
	f := fileScope{Path: recordsFile(out.stream(), branch), Branch: branch}
	var commits []pick
	for _, p := range picks {
		s, err := j.source(ctx, p, w)
		if err != nil {
			return err
		}
		if s.Records > 0 {
			f.Sources = append(f.Sources, s)
			commits = append(commits, p)
		}
	}
	if len(f.Sources) == 0 {
		return nil
	}
	summary, err := w.Close()
	if err != nil {
		return err
	}
	f.Records, f.FirstOffset, f.LastOffset = summary.Counts.Rows(), summary.FirstOffset, summary.LastOffset
	if err := j.bag.payload(ctx, f.Path, spooled.size, spooled.content()); err != nil {
		return err
	}
	for i, p := range commits {
		if err := j.commit(ctx, out.stream(), p.part, &f.Sources[i]); err != nil {
			return err
		}
	}
	out.Selected += f.Records
	out.Files = append(out.Files, f)
	return nil
}

// source copies the rows of one segment that match.
func (j *export) source(ctx context.Context, p pick, w *segment.Writer) (s source, err error) {
	part := p.part
	spooled, err := j.fetch(ctx, part)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, spooled.drop()) }()
	reader, err := segment.Open(ctx, spooled, spooled.size)
	if err != nil {
		return s, fmt.Errorf("segment %s: %w", part.Ref.Key, err)
	}
	footer := reader.Footer()
	taken, err := partsOf(&footer, part)
	if err != nil {
		return s, err
	}
	s = source{Base: part.Base, Until: part.Until}
	for row, err := range p.rows(ctx, reader) {
		if err != nil {
			return s, fmt.Errorf("segment %s: %w", part.Ref.Key, err)
		}
		if row.Status != schema.Committed || p.offsets == nil && !j.window.has(row.Timestamp) {
			continue
		}
		if err := j.take(row, w); err != nil {
			return s, err
		}
		s.Records++
		taken.count(row.Offset)
	}
	if want := int64(len(p.offsets)); p.offsets != nil && s.Records != want {
		return s, schema.WithHint(schema.Errorf(schema.Corrupt, "segment %s: the index names %d records in it, %d are there",
			part.Ref.Key, want, s.Records), "annals reindex rebuilds the index from the archive")
	}
	taken.disclose(&s)
	return s, nil
}

func (p *pick) rows(ctx context.Context, r *segment.Reader) iter.Seq2[*segment.Row, error] {
	if p.offsets != nil {
		return r.Select(ctx, p.offsets)
	}
	return r.Rows(ctx, p.part.Base, p.part.Until)
}

// take puts a record into the bag.
func (j *export) take(row *segment.Row, w *segment.Writer) error {
	if err := w.Append(&row.Record, &row.X); err != nil {
		if schema.KindOf(err) == schema.Exhausted {
			err = schema.WithHint(err, "export less at a time: fewer topics, or a shorter time range")
		}
		return err
	}
	if err := j.line.write(row); err != nil {
		return err
	}
	j.scope.Bytes += row.Bytes()
	if j.held != nil {
		j.held[schema.Coordinates{Topic: row.Topic, Partition: row.Partition, Offset: row.Offset}] = nil
	}
	if len(j.listed) < maxListedRecords {
		j.listed = append(j.listed, listedOf(row))
	}
	return nil
}

// commit adds the exact bytes of the commit that put a segment in place.
func (j *export) commit(ctx context.Context, s schema.Stream, part ledger.Segment, to *source) error {
	raw, _, err := j.options.Store.Get(ctx, schema.CommitKey(s, part.Seq), schema.MaxCommitBytes)
	if err != nil {
		return fmt.Errorf("read commit %d: %w", part.Seq, err)
	}
	c, err := schema.ParseCommit(raw)
	if err != nil {
		return err
	}
	if c.Segment == nil || c.Segment.ObjectRef.Key != part.Ref.Key || c.Segment.SHA256 != part.Ref.SHA256 ||
		c.Segment.RecordRoot != part.Ref.RecordRoot {
		return schema.Errorf(schema.Corrupt, "commit %d of %s is another than it was", part.Seq, s)
	}
	to.Commit, to.CommitSHA256 = commitFile(c), schema.CommitDigest(raw)
	return j.bag.text(ctx, to.Commit, raw)
}

// oneLine makes any text fit on a line of a tag file.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "�"))
}
