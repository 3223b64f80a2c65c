package embedded_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sys/unix"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

// smallDiskEnv holds a directory to mount a small disk on when this test
// binary runs in namespaces of its own.
const smallDiskEnv = "ANNALS_TEST_SMALL_DISK"

// TestS3DiskFull fills a disk of 4 MiB: the PUT that does not fit fails with an
// error that says so, reading goes on, and when there is room again so does
// writing, without a restart.
func TestS3DiskFull(t *testing.T) {
	if dir := os.Getenv(smallDiskEnv); dir != "" {
		fillDisk(t, dir)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestS3DiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), smallDiskEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("needs user namespaces to mount a small disk: %v", err)
	}
	err := cmd.Wait()
	if reason, skipped := strings.CutPrefix(findLine(out.String(), cannotMount), cannotMount); skipped {
		t.Skip("needs to mount a small disk: " + reason)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

const cannotMount = "cannot mount: "

func findLine(text, start string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, start) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func fillDisk(t *testing.T, dir string) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		fmt.Printf("\n%s%v\n", cannotMount, err)
		return
	}
	s := startS3(t, embedded.S3Options{DataDir: dir})
	b := newBucket(t, s.Endpoint(), "annals", "secret", "annals")
	b.mustPut(t, "small", "kept")
	body := strings.Repeat("x", 1<<20)
	var kept []string
	var full error
	for i := 0; full == nil && i < 10; i++ {
		key := fmt.Sprintf("big-%d", i)
		if _, full = b.put(t, key, body, ifNoneMatch); full == nil {
			kept = append(kept, key)
		}
	}
	if code := errorCode(full); code != "InsufficientStorage" {
		t.Errorf("the PUT that did not fit failed with %q: %v", code, full)
	}
	keys, _ := b.list(t, s3.ListObjectsV2Input{Prefix: aws.String("big-")})
	if len(keys) != len(kept) {
		t.Errorf("%q are there, %q were acknowledged", keys, kept)
	}
	for _, key := range kept {
		if got, _, err := b.get(t, key, ""); err != nil || got != body {
			t.Errorf("%s: %d bytes, %v", key, len(got), err)
		}
	}
	if _, err := b.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &b.name, Key: &kept[0]}); err != nil {
		t.Fatalf("delete on a full disk: %v", err)
	}
	if _, err := b.put(t, "again", body, ifNoneMatch); err != nil {
		t.Errorf("PUT after room was made: %v", err)
	}
}
