package kafka

import "github.com/twmb/franz-go/pkg/kgo"

var byKey = kgo.StickyKeyPartitioner(nil).ForTopic("")

// KeyPartition is the partition, of n, that Kafka's own clients choose for a key,
// which is not nil: murmur2 of its bytes.
func KeyPartition(key []byte, n int32) int32 {
	return int32(byKey.Partition(&kgo.Record{Key: key}, int(n)))
}
