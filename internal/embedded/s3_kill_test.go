package embedded_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

// TestS3SurvivesAKill kills the gateway's process in mid-PUT, several times in
// a row on one directory: every object whose PUT was acknowledged is there and
// whole, and no object is there in part. (A loss of power is played by
// test/matrix, below an archiver.)
func TestS3SurvivesAKill(t *testing.T) {
	const rounds, writers = 4, 8
	dir := t.TempDir()
	var mu sync.Mutex
	acknowledged := map[string]string{}
	for round := range rounds {
		c := startChild(t, childJob{Engine: "s3", Dir: dir, Listen: "127.0.0.1:0"})
		b := newBucket(t, c.addr, "annals", "secret", "annals")
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for w := range writers {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					key, body := selfChecking(fmt.Sprintf("%d-%d-%d", round, w, i))
					if _, err := b.put(t, key, body, ifNoneMatch); err != nil {
						return // killed
					}
					mu.Lock()
					acknowledged[key] = body
					mu.Unlock()
				}
			})
		}
		time.Sleep(100*time.Millisecond + rand.N(200*time.Millisecond))
		c.kill()
		close(stop)
		wg.Wait()
	}

	s := startS3(t, embedded.S3Options{DataDir: dir})
	b := newBucket(t, s.Endpoint(), "annals", "secret", "annals")
	for key, want := range acknowledged {
		if got, _, err := b.get(t, key, ""); err != nil || got != want {
			t.Errorf("%s was acknowledged; %d of %d bytes are there (%v)", key, len(got), len(want), err)
		}
	}
	keys, _ := b.list(t, s3.ListObjectsV2Input{})
	unacknowledged := 0
	for _, key := range keys {
		if _, ok := acknowledged[key]; ok {
			continue
		}
		unacknowledged++
		got, _, err := b.get(t, key, "")
		if err != nil || !strings.HasSuffix(key, hashOf(got)) {
			t.Errorf("%s is there in part: %d bytes (%v)", key, len(got), err)
		}
	}
	t.Logf("%d kills: %d acknowledged objects all whole, and %d whole ones that nobody was told of", rounds, len(acknowledged), unacknowledged)
	if len(acknowledged) == 0 {
		t.Error("nothing was acknowledged before the kills: the test tested nothing")
	}
}

// selfChecking returns a body of up to 200 KB and a key that holds its hash.
func selfChecking(name string) (key, body string) {
	body = strings.Repeat(name+" ", 1+rand.IntN(20_000))
	return "data/" + name + "-" + hashOf(body), body
}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return fmt.Sprintf("%x", sum[:8])
}
