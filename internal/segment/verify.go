package segment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/schema"
)

// Verify reads a whole segment and tells whether it is what it says: every
// byte by the digest in the footer, every row by its leaf and the record
// root. The error is Corrupt and names what differs. It cannot tell whether
// the segment is the one that was committed: hold Recount's Summary against
// the commit for that.
func Verify(ctx context.Context, r io.ReaderAt, size int64) error {
	_, err := Recount(ctx, r, size)
	return err
}

// Recount checks a segment as Verify does and returns what it found, computed
// from the bytes and not taken from the footer: the same Summary that the
// Writer's Close gave.
func Recount(ctx context.Context, r io.ReaderAt, size int64) (Summary, error) {
	reader, err := Open(ctx, r, size)
	if err != nil {
		return Summary{}, err
	}
	return reader.Recount(ctx, nil)
}

// Recount is the package's Recount of a segment that is open. each, if not nil,
// is called with every row's offset, in their order; its error ends it.
func (r *Reader) Recount(ctx context.Context, each func(offset int64) error) (Summary, error) {
	s, err := r.recount(ctx, each)
	if err != nil {
		return Summary{}, fmt.Errorf("verify segment of %s: %w", r.footer.Stream, err)
	}
	return s, nil
}

func (r *Reader) recount(ctx context.Context, each func(offset int64) error) (Summary, error) {
	sha, err := r.hashFile(ctx)
	if err != nil {
		return Summary{}, err
	}
	parts := r.footer.Parts
	t := tally{seed: parts[0].Seed}
	hasher := proof.NewHasher()
	for row, err := range r.rows(ctx, 0, math.MaxInt64, nil, All|fixed) {
		if err != nil {
			return Summary{}, err
		}
		if row.Offset > parts[0].LastOffset && len(parts) > 1 {
			parts = parts[1:]
			t.begin(parts[0].Seed)
		}
		t.add(&row.Record, hasher.Leaf(t.seed, &row.Record))
		if each == nil {
			continue
		}
		if err := each(row.Offset); err != nil {
			return Summary{}, err
		}
	}
	s := t.summary()
	if what := r.footer.differs(&s); what != "" {
		return Summary{}, schema.Errorf(schema.Corrupt, "%s of the rows differ from the footer", what)
	}
	if !reflect.DeepEqual(t.parts(), r.footer.Parts) {
		return Summary{}, schema.Errorf(schema.Corrupt, "the parts of the rows differ from the footer")
	}
	s.SHA256, s.Bytes = sha, r.size
	return s, nil
}

func (f *Footer) differs(s *Summary) string {
	switch {
	case s.RecordRoot != f.RecordRoot:
		return "the record root"
	case s.Counts != f.Counts:
		return "the counts"
	case s.FirstOffset != f.FirstOffset || s.LastOffset != f.LastOffset:
		return "the offsets"
	case s.MinTimestamp != f.MinTimestamp || s.MaxTimestamp != f.MaxTimestamp:
		return "the timestamps"
	case !reflect.DeepEqual(s.LeaderEpochs, f.LeaderEpochs):
		return "the leader epochs"
	default:
		return ""
	}
}

// hashFile reads the file from end to end, checks its own digest and returns
// its SHA-256.
func (r *Reader) hashFile(ctx context.Context) (schema.Digest, error) {
	place, err := digestPlace(r.tail.data[0])
	if err != nil {
		return schema.Digest{}, schema.Errorf(schema.Corrupt, "%w", err)
	}
	at := r.tail.spans[0].start + int64(place)
	whole, zeroed := sha256.New(), sha256.New()
	zeros := []byte(strings.Repeat("0", hexDigest))
	buffer := make([]byte, 1<<20)
	for from := int64(0); from < r.size; {
		if err := ctx.Err(); err != nil {
			return schema.Digest{}, err
		}
		b := buffer[:min(int64(len(buffer)), r.size-from)]
		if n, err := r.source.ReadAt(b, from); n < len(b) {
			if err == nil || errors.Is(err, io.EOF) {
				return schema.Digest{}, schema.Errorf(schema.Corrupt, "the file ends at %d of %d bytes", from+int64(n), r.size)
			}
			return schema.Digest{}, fmt.Errorf("read bytes from %d: %w", from, err)
		}
		whole.Write(b)
		if low, high := max(at, from), min(at+hexDigest, from+int64(len(b))); low < high {
			copy(b[low-from:high-from], zeros)
		}
		zeroed.Write(b)
		from += int64(len(b))
	}
	if own := hex.AppendEncode(nil, zeroed.Sum(nil)); !bytes.Equal(own, []byte(r.digest)) {
		return schema.Digest{}, schema.Errorf(schema.Corrupt, "the bytes hash to %s, the footer says %s", own, r.digest)
	}
	return schema.Digest(whole.Sum(nil)), nil
}
