package embedded_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// BenchmarkS3Put prints durable PUTs a second of objects of the size of a
// commit, at one writer and at 32 that share syncs.
func BenchmarkS3Put(b *testing.B) {
	store := embeddedtest.S3(b)
	body := strings.Repeat("x", 2<<10)
	for _, writers := range []int{1, 32} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			client := newBucket(b, store.Endpoint, store.AccessKey, store.SecretKey, store.Bucket)
			client.prefix = fmt.Sprintf("%s/%d/%d/", store.Prefix, writers, time.Now().UnixNano())
			work := make(chan int)
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for i := range work {
						if _, err := client.put(b, fmt.Sprintf("ledger/%06d/%020d.json", i/1000, i), body, ifNoneMatch); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := range b.N {
				work <- i
			}
			close(work)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "PUT/s")
		})
	}
}
