package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInUse is wrapped by the error for a folder that another process holds.
var ErrInUse = errors.New("spool folder is in use")

const (
	lockName = "spool.lock"
	// A process that was killed a moment ago may still be going.
	lockTries = 10
	lockPause = 20 * time.Millisecond
)

// lock keeps a folder to one process. The kernel lets go of it when the process
// ends, however it ends.
func lock(root *os.Root) (*os.File, error) {
	f, err := root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			own := strconv.Itoa(os.Getpid()) + "\n"
			_, err = f.WriteAt([]byte(own), 0)
			if err = errors.Join(err, f.Truncate(int64(len(own)))); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return f, nil
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, errors.Join(err, f.Close())
		case try == lockTries:
			by, _ := io.ReadAll(io.NewSectionReader(f, 0, 32))
			return nil, errors.Join(fmt.Errorf("%w by process %s: each archiver needs one of its own", ErrInUse, strings.TrimSpace(string(by))), f.Close())
		}
		time.Sleep(lockPause)
	}
}
