package custody

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// Bounds of a bag, when it is unpacked and when it is verified.
const (
	MaxFiles    = 200_000
	MaxBagBytes = 1 << 40
	maxPath     = 1024
)

// Unpack writes the bag in a tar stream into the folder dir, which must not
// exist: its files stand directly in it, without the stream's top folder. It
// unpacks into dir.partial beside it and renames that at the end, so that dir
// is whole or not there. Nothing in the stream can be written elsewhere.
//
// Errors: Conflict if dir or dir.partial is there, Corrupt for a stream that is
// no bag or does not reach its end, Exhausted beyond the bounds.
func Unpack(ctx context.Context, r io.Reader, dir string) (err error) {
	dir = filepath.Clean(dir)
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return fmt.Errorf("unpack bag: %w", err)
		}
		return schema.WithHint(schema.Errorf(schema.Conflict, "unpack bag: %s is there already", dir), "choose a folder that does not exist")
	}
	partial := dir + ".partial"
	if err := os.Mkdir(partial, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return schema.WithHint(schema.Errorf(schema.Conflict, "unpack bag: %s is there already", partial),
				"another export is writing it, or one was broken off; in that case remove it")
		}
		return fmt.Errorf("unpack bag: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(partial))
		}
	}()
	if err := unpackInto(ctx, r, partial); err != nil {
		return fmt.Errorf("unpack bag: %w", err)
	}
	// Rename replaces an empty folder that somebody made in the meantime: no loss.
	if err := os.Rename(partial, dir); err != nil {
		return fmt.Errorf("unpack bag: %w", err)
	}
	return syncFolder(filepath.Dir(dir))
}

func unpackInto(ctx context.Context, r io.Reader, dir string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	u := unpacker{root: root, in: tar.NewReader(&contextReader{ctx, r}), seen: map[string]bool{}}
	for {
		header, err := u.in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return streamError(err)
		}
		if err := u.entry(header); err != nil {
			return err
		}
	}
	if u.last != tagManifestFile {
		return schema.WithHint(schema.Errorf(schema.Corrupt, "the stream ended before its last file, %s", tagManifestFile), "export again")
	}
	return nil
}

// streamError tells a stream that broke off from a reader's own error.
func streamError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader) {
		return schema.WithHint(schema.Errorf(schema.Corrupt, "the stream is cut off or no tar stream: %w", err), "export again")
	}
	return err
}

type unpacker struct {
	root  *os.Root
	in    *tar.Reader
	base  string          // the top folder
	seen  map[string]bool // paths in lower case: some file systems know no other
	bytes int64
	last  string
}

func (u *unpacker) entry(header *tar.Header) error {
	name := strings.TrimSuffix(header.Name, "/")
	if !sound(name) {
		return schema.Errorf(schema.Corrupt, "entry %.200q has a name that no bag holds", header.Name)
	}
	base, rest, nested := strings.Cut(name, "/")
	if u.base == "" {
		u.base = base
	}
	if base != u.base {
		return schema.Errorf(schema.Corrupt, "entry %q is not in the folder %q, as everything before it", name, u.base)
	}
	if header.Typeflag == tar.TypeDir {
		return nil // folders come with their files
	}
	if !nested || header.Typeflag != tar.TypeReg || isSparse(header) {
		return schema.Errorf(schema.Corrupt, "entry %q is not a plain file in a folder", name)
	}
	if u.seen[strings.ToLower(rest)] {
		return schema.Errorf(schema.Corrupt, "entry %q comes twice, or differs from another in case alone", name)
	}
	u.seen[strings.ToLower(rest)] = true
	u.bytes += header.Size
	if len(u.seen) > MaxFiles || u.bytes > MaxBagBytes || header.Size < 0 {
		return schema.Errorf(schema.Exhausted, "more than %d files or %d bytes", MaxFiles, int64(MaxBagBytes))
	}
	u.last = rest
	return u.write(rest, header.Size)
}

// isSparse tells a file whose holes are not in the stream: a few bytes could
// stand for terabytes.
func isSparse(header *tar.Header) bool {
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// sound tells a path that stays below its folder on every system.
func sound(name string) bool {
	return fs.ValidPath(name) && name != "." && len(name) <= maxPath && printable(name) && !strings.ContainsAny(name, `\:`)
}

func (u *unpacker) write(name string, size int64) (err error) {
	if err := u.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("make folder of %q: %w", name, err)
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("make %q: %w", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.CopyN(f, u.in, size); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("write %q: %w", name, streamError(err))
	}
	return f.Sync()
}

// syncFolder makes a rename in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}
