//go:build !linux

package upgrade_test

import "testing"

// packFolder cannot be done here: the embedded S3 runs on Linux.
func packFolder(t *testing.T, _, _ string) { t.Fatal("data folders are made on Linux") }
