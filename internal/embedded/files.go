package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// createFile writes body to a new file of mode 0600 that appears under its
// name whole and durable, or not at all. It fails with fs.ErrExist when the
// name is taken.
func createFile(path string, body []byte) error {
	return publishFile(path, body, os.Link)
}

// replaceFile is createFile for a name that may be taken.
func replaceFile(path string, body []byte) error {
	return publishFile(path, body, os.Rename)
}

func publishFile(path string, body []byte, publish func(from, to string) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	// After a rename the temporary name is gone, after a link it must go.
	defer func() {
		if rmErr := os.Remove(f.Name()); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	if _, err := f.Write(body); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := publish(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync directory %s: %w", dir, err), d.Close())
	}
	return d.Close()
}
