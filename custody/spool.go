package custody

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// fetchBytes is how much of a segment one request asks for.
const fetchBytes = 8 << 20

// spool is an export's temporary folder, with a budget for all of its files.
// tar wants a file's size before its bytes, so each is finished here first.
type spool struct {
	dir         string
	limit, used int64
}

func newSpool(dir string, limit int64) (*spool, error) {
	own, err := os.MkdirTemp(dir, "annals-export-")
	if err != nil {
		return nil, schema.WithHint(schema.Errorf(schema.Unavailable, "make temporary folder: %w", err),
			"exports need room for temporary files; check the folder's rights and free space")
	}
	return &spool{dir: own, limit: limit}, nil
}

func (s *spool) remove() error { return os.RemoveAll(s.dir) }

// spoolFile is one temporary file. It counts towards the budget until it is
// dropped.
type spoolFile struct {
	// The file is not embedded: its other ways to write would pass by the budget.
	file  *os.File
	spool *spool
	size  int64
}

func (s *spool) create(name string) (*spoolFile, error) {
	f, err := os.Create(filepath.Join(s.dir, name))
	if err != nil {
		return nil, fmt.Errorf("make temporary file: %w", err)
	}
	return &spoolFile{file: f, spool: s}, nil
}

// Write appends to the file within the budget; beyond it the error is
// Exhausted.
func (f *spoolFile) Write(p []byte) (int, error) {
	if f.spool.used+int64(len(p)) > f.spool.limit {
		return 0, schema.WithHint(schema.Errorf(schema.Exhausted, "the export needs more than %d bytes of temporary files", f.spool.limit),
			"export less at a time: fewer topics, or a shorter time range")
	}
	n, err := f.file.Write(p)
	f.size += int64(n)
	f.spool.used += int64(n)
	return n, err
}

// ReadAt implements io.ReaderAt.
func (f *spoolFile) ReadAt(p []byte, offset int64) (int, error) { return f.file.ReadAt(p, offset) }

// content is the file from its start.
func (f *spoolFile) content() io.Reader { return io.NewSectionReader(f.file, 0, f.size) }

// drop closes the file and gives its bytes back.
func (f *spoolFile) drop() error {
	f.spool.used -= f.size
	f.size = 0
	return errors.Join(f.file.Close(), os.Remove(f.file.Name()))
}

// fetch copies a segment whole and holds it against the hash that its commit
// names. The error is Corrupt if the bytes are others.
func (s *spool) fetch(ctx context.Context, store Store, part ledger.Segment) (_ *spoolFile, err error) {
	f, err := s.create("segment")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("fetch segment %s: %w", part.Ref.Key, err), f.drop())
		}
	}()
	from := store.ReaderAt(ctx, part.Ref.Key, part.Ref.Bytes)
	hash := sha256.New()
	buffer := make([]byte, min(fetchBytes, part.Ref.Bytes))
	for at := int64(0); at < part.Ref.Bytes; {
		b := buffer[:min(int64(len(buffer)), part.Ref.Bytes-at)]
		if n, err := from.ReadAt(b, at); n < len(b) {
			if err == nil || errors.Is(err, io.EOF) {
				err = schema.Errorf(schema.Corrupt, "it ends at %d of %d bytes", at+int64(n), part.Ref.Bytes)
			}
			return nil, err
		}
		hash.Write(b)
		if _, err := f.Write(b); err != nil {
			return nil, err
		}
		at += int64(len(b))
	}
	if got := schema.Digest(hash.Sum(nil)); got != part.Ref.SHA256 {
		return nil, schema.Errorf(schema.Corrupt, "its bytes hash to %s, commit %d says %s", got, part.Seq, part.Ref.SHA256)
	}
	return f, nil
}
