package measure

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The words of an order, and the time of the first one.
var (
	cities   = []string{"Amsterdam", "Berlin", "Chicago", "Dubai", "Edinburgh", "Florence", "Geneva", "Hamburg"}
	statuses = []string{"created", "paid", "packed", "shipped", "delivered", "returned"}
	sources  = []string{"web", "ios", "android", "pos"}
	firstAt  = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
)

// Order is the record of 300 bytes: a key, a JSON value of 165 bytes and four
// headers, one of which is a trace context of 24 random bytes; its partition
// follows from its key. The same index makes the same record.
func Order(i int64, partitions int) *kgo.Record {
	random := rand.New(rand.NewPCG(1, uint64(i)))
	customer := random.IntN(200_000)
	key := fmt.Appendf(nil, "cust-%08d", customer)
	at := firstAt.Add(time.Duration(i) * time.Millisecond)
	v := fmt.Appendf(make([]byte, 0, 200), `{"order_id":%d,"customer_id":%d,"status":%q,"city":%q,"amount_cents":%d,"currency":"EUR","items":%d,"ts":%d,"note":"%016x"}`,
		1_000_000_000+i, customer, statuses[random.IntN(len(statuses))], cities[random.IntN(len(cities))],
		random.IntN(500_000), 1+random.IntN(9), at.UnixMilli(), random.Uint64())
	parent := fmt.Appendf(nil, "00-%016x%016x-%016x-01", random.Uint64(), random.Uint64(), random.Uint64())
	h := fnv.New32a()
	h.Write(key) // a hash's Write never fails
	return &kgo.Record{
		Key: key, Value: v, Partition: int32(h.Sum32() % uint32(partitions)), Timestamp: at,
		Headers: []kgo.RecordHeader{
			{Key: "traceparent", Value: parent},
			{Key: "content-type", Value: []byte("application/json")},
			{Key: "source", Value: []byte(sources[random.IntN(len(sources))])},
			{Key: "schema-id", Value: []byte("42")},
		},
	}
}
