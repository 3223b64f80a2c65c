package embedded

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tornFolder is where, in the store's directory, what a loss of power left
	// in part is set aside. No bucket can have this name.
	tornFolder = ".torn"
	// tornSpan is how long before the last write of an unclean run objects are
	// looked at. Each write asks for a sync at once, so what was not synced is
	// seconds old; the rest is for a disk that is slow.
	tornSpan = time.Minute
	// unnamedFolder is where, in a bucket, versitygw keeps uploads without a name.
	unnamedFolder = ".sgwtmp"
	// etagAttribute is where versitygw keeps an object's ETag: the quoted MD5 of
	// its bytes, unless it was uploaded in parts.
	etagAttribute = "user.etag"
)

// SetTornAside takes every object out of the store in dir that a loss of power
// left in part, and returns their paths below dir. A file system may make a
// file's name durable before its bytes: then the name is there, and the file is
// short or empty. Nobody was told that such an object is there: a PUT is
// answered after a sync that covers it. Left where it is, it would stand for
// something that was never written: a commit that cannot be read ends a chain.
//
// Looked at are the objects of the last minute before the newest one. What
// does not match its ETag, or has none, goes to .torn/<bucket>/<key> in dir; it
// is kept there, and nothing reads it. No gateway may run on dir.
func SetTornAside(dir string, logger *slog.Logger) ([]string, error) {
	recent, err := recentObjects(dir)
	if err != nil {
		return nil, fmt.Errorf("look for torn objects in %s: %w", dir, err)
	}
	var torn []string
	for _, path := range recent {
		why, err := tornBy(filepath.Join(dir, path))
		if err == nil && why != "" {
			logger.Warn("an object was written in part when the power failed; it was never acknowledged, and is set aside",
				"path", path, "to", filepath.Join(tornFolder, path), "why", why)
			torn = append(torn, path)
			err = setAside(dir, path)
		}
		if err != nil {
			return torn, fmt.Errorf("set torn object %s aside: %w", path, err)
		}
	}
	return torn, nil
}

// recentObjects gives the paths below dir of the files in its buckets that were
// written last.
func recentObjects(dir string) ([]string, error) {
	written := map[string]time.Time{}
	var newest time.Time
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path == filepath.Join(dir, tornFolder) || entry.Name() == unnamedFolder && filepath.Dir(filepath.Dir(path)) == dir {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Dir(path) == dir || !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		written[name] = info.ModTime()
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		return nil
	})
	var recent []string
	for name, at := range written {
		if newest.Sub(at) <= tornSpan {
			recent = append(recent, name)
		}
	}
	return recent, err
}

// tornBy tells why an object is not what was written; "" if it is.
func tornBy(path string) (why string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	kept := make([]byte, 256)
	n, err := unix.Fgetxattr(int(f.Fd()), etagAttribute, kept)
	if errors.Is(err, unix.ENODATA) {
		return "it has no ETag", nil
	}
	if err != nil {
		return "", err
	}
	etag := strings.Trim(string(kept[:n]), `"`)
	if len(etag) != hex.EncodedLen(md5.Size) {
		return "", nil // in parts, or by another checksum
	}
	sum := md5.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	if hex.EncodeToString(sum.Sum(nil)) != etag {
		return "its bytes do not match its ETag", nil
	}
	return "", nil
}

// setAside moves a file below dir to the torn folder, durably.
func setAside(dir, path string) error {
	to := filepath.Join(dir, tornFolder, path)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, path), to); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(to)), syncDir(filepath.Dir(filepath.Join(dir, path))))
}
