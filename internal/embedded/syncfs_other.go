//go:build !linux

package embedded

import (
	"errors"
	"fmt"
	"runtime"
)

// openSyncfs: only Linux has syncfs(2), and without it no acknowledgement of
// the embedded store would be true.
func openSyncfs(string) (sync func() error, release func() error, err error) {
	return nil, nil, fmt.Errorf("embedded S3 on %s: %w; point Annals at an S3 store instead", runtime.GOOS, errors.ErrUnsupported)
}
