package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/test/instance"
)

// TestDiskFullOfTheArchive fills the disk under the object store: annals stops
// sealing, says so, is not ready, and goes on by itself when there is room.
// Kafka keeps what is not sealed yet, so nothing is lost.
func TestDiskFullOfTheArchive(t *testing.T) {
	instance.NeedsClickHouse(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small disk")
	}
	data := filepath.Join(t.TempDir(), "data")
	disk := filepath.Join(data, "s3")
	if err := os.MkdirAll(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Skipf("needs to mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	t.Parallel()
	i := programs.Start(t, instance.Options{DataDir: data})
	const topic, batch = "orders", 500
	client := i.Client(t)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 2, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	produce(t, client, topic, batch)
	i.Settled(t)

	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	produce(t, client, topic, batch)
	if said := i.Annals(t, "seal"); said.Code != 0 {
		t.Errorf("annals seal: code %d, %s", said.Code, said.Err)
	}
	embeddedtest.Eventually(t, 45*time.Second, func() error {
		// Asked again and again: what was just produced may not be read yet.
		i.Annals(t, "seal")
		for _, trouble := range unready(t, i) {
			if strings.Contains(trouble, "space") || strings.Contains(trouble, "InsufficientStorage") || strings.Contains(trouble, "full") {
				return nil
			}
		}
		return fmt.Errorf("/readyz does not say that the disk is full: %v", unready(t, i))
	})
	t.Logf("a full disk: %v", unready(t, i))
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	becomes(t, i)
	i.Settled(t)
	if compared := compareArchive(t, i, topic); compared["committed"] != 2*batch {
		t.Errorf("compared %v, produced %d", compared, 2*batch)
	}
}

// fill writes a file until the disk takes no more.
func fill(t testing.TB, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<16); err == nil; {
		_, err = f.Write(block)
		for errors.Is(err, syscall.ENOSPC) && len(block) > 1 {
			block = block[:len(block)/2]
			if _, err = f.Write(block); err == nil {
				break
			}
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
}
