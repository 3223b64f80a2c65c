package kafka_test

import (
	"testing"

	"github.com/fx-risk-ai/annals/internal/kafka"
)

// The hashes are those of Kafka's own test of its client.
func TestKeyPartition(t *testing.T) {
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		for _, n := range []int32{1, 2, 7, 12, 1000} {
			if got, want := kafka.KeyPartition([]byte(key), n), hash&0x7fffffff%n; got != want {
				t.Errorf("%q of %d: %d, want %d", key, n, got, want)
			}
		}
	}
}
