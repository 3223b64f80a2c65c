package embedded

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openSyncfs returns a function that makes everything written so far to the
// file system of dir durable, by syncfs(2). Since Linux 5.8 it reports data
// that could not be written.
func openSyncfs(dir string) (sync func() error, release func() error, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	sync = func() error {
		for {
			err := unix.Syncfs(int(f.Fd()))
			if !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	}
	return sync, f.Close, nil
}
