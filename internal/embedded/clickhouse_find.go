package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// ChdbVersion is the version of the engine that this release is built for and
// tested with; scripts/fetch-chdb.sh pins the same one by its hash.
const ChdbVersion = "26.7.3-stable.1"

// ErrNoClickHouseEngine says that the embedded ClickHouse cannot run because
// its program or its library is not on this machine. Annals works without:
// archiving, proof and replay go on, search does not, and annals reindex
// catches up later. The text says what is missing and what to do.
var ErrNoClickHouseEngine = errors.New("the embedded ClickHouse engine is not installed")

// libraryVariable names a libchdb.so, for machines that cannot fetch one.
const libraryVariable = "ANNALS_CHDB"

// FindClickHouseLibrary returns the path of libchdb.so: what ANNALS_CHDB
// names, else where `make engines` puts it in the user's cache folder. The
// error wraps ErrNoClickHouseEngine.
func FindClickHouseLibrary() (string, error) {
	if path := os.Getenv(libraryVariable); path != "" {
		if err := regularFile(path); err != nil {
			return "", fmt.Errorf("%w: %s names %s: %w", ErrNoClickHouseEngine, libraryVariable, path, err)
		}
		return path, nil
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("%w: no library is packaged for %s/%s; point %s at a libchdb.so of version %s, or configure a ClickHouse server", ErrNoClickHouseEngine, runtime.GOOS, runtime.GOARCH, libraryVariable, ChdbVersion)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: no cache folder to look in (%w); set HOME, or point %s at a libchdb.so", ErrNoClickHouseEngine, err, libraryVariable)
	}
	path := filepath.Join(cache, "annals", "chdb-"+ChdbVersion, "libchdb.so")
	if err := regularFile(path); err != nil {
		return "", fmt.Errorf("%w: %w; run `make engines` to fetch it (178 MB), or point %s at a libchdb.so", ErrNoClickHouseEngine, err, libraryVariable)
	}
	return path, nil
}

// FindClickHouseBinary returns the path of annals-chdb: beside the running
// executable, else on the PATH. The error wraps ErrNoClickHouseEngine.
func FindClickHouseBinary() (string, error) {
	const name = "annals-chdb"
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	if resolved, err := filepath.EvalSymlinks(self); err == nil {
		self = resolved
	}
	beside := filepath.Join(filepath.Dir(self), name)
	if regularFile(beside) == nil {
		return beside, nil
	}
	onPath, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %s is neither %s nor on the PATH; `make build` makes it", ErrNoClickHouseEngine, name, beside)
	}
	return onPath, nil
}

func regularFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist", path)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", path)
	}
	return nil
}
