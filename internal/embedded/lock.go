package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockName is the file in a data directory whose lock means: in use. It stays
// when the lock goes, because removing it would let two processes lock two
// files of the same name.
const lockName = "annals.lock"

const (
	// lockTries and lockPause span the moment in which [ReadUpFile] looks.
	lockTries = 10
	lockPause = 20 * time.Millisecond
)

// ErrDataDirInUse is wrapped by the error for a data directory that another
// process holds; the message names the process.
var ErrDataDirInUse = errors.New("data directory is in use")

// DataDirLock keeps a data directory to one process. The kernel lets go of it
// when the process ends, however it ends.
type DataDirLock struct {
	file    *os.File
	unclean bool
}

// LockDataDir makes dir if need be (mode 0700) and locks it. It does not wait
// for another holder: the error is [ErrDataDirInUse].
func LockDataDir(dir string) (*DataDirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := lockFile(f, dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	last, err := readHolder(f)
	if err == nil {
		err = errors.Join(f.Truncate(0), writeAt(f, []byte(strconv.Itoa(os.Getpid())+"\n")), f.Sync())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock data directory: %w", err), f.Close())
	}
	return &DataDirLock{file: f, unclean: last != ""}, nil
}

// Unclean says whether the last process that held the directory ended without
// [DataDirLock.Unlock]: by a kill, a crash or a power cut. What it wrote last
// wants checking.
func (l *DataDirLock) Unclean() bool { return l.unclean }

func lockFile(f *os.File, dir string) error {
	for try := 1; ; try++ {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("lock data directory %s: %w", dir, err)
		case try == lockTries:
			return fmt.Errorf("%w: %s belongs to %s; stop it, or choose another --data-dir", ErrDataDirInUse, dir, holder(f))
		}
		time.Sleep(lockPause)
	}
}

// holder names the process that wrote the lock file.
func holder(f *os.File) string {
	pid, err := readHolder(f)
	if _, convErr := strconv.Atoi(pid); err != nil || convErr != nil {
		return "another process"
	}
	return "process " + pid
}

// readHolder returns the process id in the lock file, empty after a clean stop.
func readHolder(f *os.File) (string, error) {
	body, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	return strings.TrimSpace(string(body)), err
}

func writeAt(f *os.File, body []byte) error {
	_, err := f.WriteAt(body, 0)
	return err
}

// Unlock gives the directory back at a clean stop.
func (l *DataDirLock) Unlock() error {
	if err := errors.Join(l.file.Truncate(0), l.file.Sync(), l.file.Close()); err != nil {
		return fmt.Errorf("unlock data directory: %w", err)
	}
	return nil
}

// dataDirHeld says whether some process holds the lock, by trying to share it.
func dataDirHeld(dir string) (held bool, err error) {
	f, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		switch {
		case err == nil:
			return false, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return true, nil
		case !errors.Is(err, unix.EINTR):
			return false, err
		}
	}
}
