//go:build synctests

package simulation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/schema"
)

// cluster is the brokers, and what their logs were: read by a client of the
// simulation's own, before anything that changes them.
type cluster struct {
	network kfake.VirtualNetwork
	brokers int
	dir     string // its data
	copied  string // an earlier state of its data
	fake    *kfake.Cluster
	// groups, if set, coordinates the archivers' group: kfake forgets members
	// when it is restarted, and then every partition would be opened anew.
	groups *kfake.Cluster
	rooms  kfake.VirtualNetwork // of groups
	up     atomic.Bool

	truth   map[stream]*history
	before  map[stream]*history // as of the copy
	highest int32               // no leader epoch was above
}

type stream struct {
	topic     string
	id        schema.TopicID
	partition int32
}

func (s stream) String() string { return fmt.Sprintf("%s/%d %s", s.topic, s.partition, s.id) }

// history is a partition's log as it was read, whole: what was deleted from its
// beginning since stays here.
type history struct {
	records []record
	start   int64 // the log start
	deleted int64 // the highest log start that there ever was
	lost    [][]record
	gone    bool // the topic was deleted
	acks    []ack
}

// record is one that Kafka served. Offsets are dense: nothing is compacted.
type record struct {
	offset    int64
	epoch     int32 // the leader's
	producer  int64
	pepoch    int16
	timestamp int64
	control   bool
	txn       bool
	key       string
	value     string
}

func (r *record) String() string {
	return fmt.Sprintf("%d of epoch %d by producer %d (%d), control %t, %q = %.40q", r.offset, r.epoch, r.producer, r.pepoch, r.control, r.key, r.value)
}

// ack is a record that a producer was told is there.
type ack struct {
	offset int64
	value  string
	txn    *transaction
}

func (h *history) clone() *history {
	c := *h
	c.records, c.acks, c.lost = slices.Clone(h.records), slices.Clone(h.acks), slices.Clone(h.lost)
	return &c
}

// verdict is what the markers of a log say of a record.
func verdict(log []record, i int) schema.Status {
	r := &log[i]
	switch {
	case r.control:
		return schema.Control
	case !r.txn:
		return schema.Committed
	}
	for _, later := range log[i+1:] {
		if later.control && later.producer == r.producer {
			if later.key == commitKey {
				return schema.Committed
			}
			return schema.Aborted
		}
	}
	return schema.Undecided
}

const commitKey = "\x00\x00\x00\x01"

func ports(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = 9092 + i
	}
	return list
}

// guarded listens as the embedded broker does: what mends kfake there counts here.
func guarded(network *kfake.VirtualNetwork) func(network, address string) (net.Listener, error) {
	return func(name, address string) (net.Listener, error) {
		ln, err := network.Listen(name, address)
		if err != nil {
			return nil, err
		}
		return embedded.GuardKafka(ln), nil
	}
}

func (c *cluster) start() error {
	versions := kversion.Stable()
	for _, telemetry := range []kmsg.Key{kmsg.GetTelemetrySubscriptions, kmsg.PushTelemetry} {
		versions.SetMaxKeyVersion(int16(telemetry), -1) // a tenth of a seed's time
	}
	fake, err := kfake.NewCluster(
		kfake.MaxVersions(versions),
		kfake.NumBrokers(c.brokers), kfake.Ports(ports(c.brokers)...), kfake.ListenFn(guarded(&c.network)),
		kfake.ClusterID("simulation"), kfake.DataDir(c.dir),
	)
	if err != nil {
		return err
	}
	embedded.AnswerMembersInTime(fake)
	c.fake = fake
	return nil
}

// setApart starts a coordinator of its own.
func (c *cluster) setApart() (err error) {
	c.groups, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(guarded(&c.rooms)), kfake.ClusterID("simulation"))
	if err != nil {
		return err
	}
	embedded.AnswerMembersInTime(c.groups)
	return nil
}

func (c *cluster) coordinator() (net.Conn, error) {
	return c.rooms.DialContext(context.Background(), "tcp", "127.0.0.1:9092")
}

func (c *cluster) close() {
	c.fake.Close()
	if c.groups != nil {
		c.groups.Close()
	}
}

func (c *cluster) addrs() []string {
	list := make([]string, c.brokers)
	for i, port := range ports(c.brokers) {
		list[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	return list
}

// dial is for archivers and producers: no one gets in while a start is not done.
func (c *cluster) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !c.up.Load() {
		return nil, errors.New("connection refused: the brokers are down")
	}
	return c.network.DialContext(ctx, network, address)
}

func (c *cluster) client(extra ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.addrs()...), kgo.Dialer(c.network.DialContext), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordDeliveryTimeout(time.Minute), kgo.ProducerLinger(0),
	}, extra...)...)
}

// observe reads what is new in all logs.
func (c *cluster) observe(ctx context.Context) error {
	offsets := map[string]map[int32]kgo.Offset{}
	ends := map[stream]int64{}
	left := 0
	for s, h := range c.truth {
		if h.gone {
			continue
		}
		info := c.fake.PartitionInfo(s.topic, s.partition)
		if info == nil {
			return fmt.Errorf("observe %s: the brokers do not have it", s)
		}
		h.start, h.deleted = info.LogStartOffset, max(h.deleted, info.LogStartOffset)
		c.highest = max(c.highest, info.Epoch)
		next := int64(len(h.records))
		if info.HighWatermark < next {
			return fmt.Errorf("brokers: %s ends at %d, it had %d", s, info.HighWatermark, next)
		}
		if info.HighWatermark == next {
			continue
		}
		if offsets[s.topic] == nil {
			offsets[s.topic] = map[int32]kgo.Offset{}
		}
		offsets[s.topic][s.partition] = kgo.NewOffset().At(next)
		ends[s] = info.HighWatermark
		left++
	}
	if left == 0 {
		return nil
	}
	client, err := c.client(kgo.ConsumePartitions(offsets), kgo.KeepControlRecords(), kgo.FetchIsolationLevel(kgo.ReadUncommitted()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for len(ends) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("observe: %w: %v", ctx.Err(), ends)
		}
		var wrong error
		fetches.EachTopic(func(t kgo.FetchTopic) {
			t.EachPartition(func(p kgo.FetchPartition) {
				s := stream{t.Topic, schema.TopicID(t.TopicID), p.Partition}
				h := c.truth[s]
				if h == nil {
					wrong = errors.Join(wrong, fmt.Errorf("observe %s: %w", s, p.Err))
					return
				}
				for _, r := range p.Records {
					if r.Offset != int64(len(h.records)) {
						wrong = fmt.Errorf("observe %s: offset %d behind %d", s, r.Offset, len(h.records))
						return
					}
					h.records = append(h.records, recordOf(r))
				}
				if int64(len(h.records)) >= ends[s] {
					delete(ends, s)
				}
			})
		})
		if wrong != nil {
			return wrong
		}
	}
	return nil
}

func recordOf(r *kgo.Record) record {
	return record{
		offset: r.Offset, epoch: r.LeaderEpoch, producer: r.ProducerID, pepoch: r.ProducerEpoch, timestamp: r.Timestamp.UnixMilli(),
		control: r.Attrs.IsControl(), txn: r.Attrs.IsTransactional(), key: string(r.Key), value: string(r.Value),
	}
}

// passage is a time in which nobody but the simulation reaches the brokers.
type passage struct {
	down     time.Duration
	parting  func(context.Context) error // before they stop
	meantime func() error                // while they are stopped
	arriving func(context.Context) error // when they have started
	// committed tells how open transactions end: a coordinator that was
	// restarted ends each as it was decided, or aborts it.
	committed bool
}

// restart stops the brokers and starts them on what meanwhile leaves of their
// data. Transactions that were open are ended, as their coordinator would.
func (c *cluster) restart(ctx context.Context, p passage) error {
	c.up.Store(false)
	if p.parting != nil {
		if err := p.parting(ctx); err != nil {
			return err
		}
	}
	if err := c.observe(ctx); err != nil {
		return err
	}
	c.fake.Close()
	time.Sleep(p.down)
	if p.meantime != nil {
		if err := p.meantime(); err != nil {
			return err
		}
	}
	if err := c.start(); err != nil {
		return err
	}
	if err := c.elect(); err != nil {
		return err
	}
	if err := c.endOpen(ctx, p.committed); err != nil {
		return err
	}
	if p.arriving != nil {
		if err := p.arriving(ctx); err != nil {
			return err
		}
	}
	c.up.Store(true)
	return nil
}

// keep copies the data: this is what the followers have.
func (c *cluster) keep(ctx context.Context, p passage) error {
	p.meantime = func() error {
		if err := os.RemoveAll(c.copied); err != nil {
			return err
		}
		c.before = map[stream]*history{}
		for s, h := range c.truth {
			c.before[s] = h.clone()
		}
		return os.CopyFS(c.copied, os.DirFS(c.dir))
	}
	return c.restart(ctx, p)
}

// setBack brings the copy in force again, under leader epochs that nobody had
// before: an unclean election in all partitions. With swap the deposed leaders
// keep what they had, and may be elected next.
func (c *cluster) setBack(ctx context.Context, swap bool, p passage) error {
	p.meantime = func() error {
		deposed := map[stream]*history{}
		for s, h := range c.truth {
			if !h.gone {
				deposed[s] = h.clone()
			}
		}
		for s, now := range c.truth {
			then := c.before[s]
			if then == nil {
				now.gone = true
				continue
			}
			then = then.clone()
			then.lost = append(slices.Clone(now.lost), now.records)
			then.deleted = max(then.deleted, now.deleted)
			c.truth[s] = then
		}
		if !swap {
			if err := os.RemoveAll(c.dir); err != nil {
				return err
			}
			return os.CopyFS(c.dir, os.DirFS(c.copied))
		}
		c.before = deposed
		aside := c.dir + ".aside"
		return errors.Join(os.Rename(c.dir, aside), os.Rename(c.copied, c.dir), os.Rename(aside, c.copied))
	}
	return c.restart(ctx, p)
}

// elect raises all leader epochs above any that was: two logs must not have
// two records of one epoch at one offset.
func (c *cluster) elect() error {
	for s, h := range c.truth {
		for !h.gone && c.fake.PartitionInfo(s.topic, s.partition).Epoch <= c.highest {
			if err := c.fake.MoveTopicPartition(s.topic, s.partition, c.fake.LeaderFor(s.topic, s.partition)); err != nil {
				return err
			}
		}
	}
	return nil
}

// endOpen writes the markers that are missing at the end of the logs. kfake
// itself ends such transactions in memory only.
func (c *cluster) endOpen(ctx context.Context, committed bool) error {
	request := kmsg.NewPtrWriteTxnMarkersRequest()
	for s, h := range c.truth {
		if h.gone {
			continue
		}
		open := map[int64]int16{}
		for _, r := range h.records {
			switch {
			case r.control:
				delete(open, r.producer)
			case r.txn:
				open[r.producer] = r.pepoch
			}
		}
		for _, producer := range slices.Sorted(maps.Keys(open)) {
			topic := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
			topic.Topic, topic.Partitions = s.topic, []int32{s.partition}
			marker := kmsg.NewWriteTxnMarkersRequestMarker()
			marker.ProducerID, marker.ProducerEpoch, marker.Topics = producer, open[producer], append(marker.Topics, topic)
			marker.Committed = committed
			request.Markers = append(request.Markers, marker)
		}
	}
	if len(request.Markers) == 0 {
		return nil
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	for _, marker := range request.Markers {
		one := kmsg.NewPtrWriteTxnMarkersRequest()
		one.Markers = append(one.Markers, marker)
		leader := c.fake.LeaderFor(marker.Topics[0].Topic, marker.Topics[0].Partitions[0])
		answer, err := client.Broker(int(leader)).RetriableRequest(ctx, one)
		if err != nil {
			return fmt.Errorf("write transaction markers: %w", err)
		}
		for _, m := range answer.(*kmsg.WriteTxnMarkersResponse).Markers {
			for _, t := range m.Topics {
				for _, p := range t.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
						return fmt.Errorf("write transaction marker of producer %d: %w", m.ProducerID, err)
					}
				}
			}
		}
	}
	return nil
}

// create makes a topic, and forgets nothing of an earlier one of that name.
func (c *cluster) create(name string, partitions int32) error {
	if err := c.fake.CreateTopic(name, partitions, nil); err != nil {
		return err
	}
	info := c.fake.TopicInfo(name)
	for p := range partitions {
		c.truth[stream{name, schema.TopicID(info.TopicID), p}] = &history{}
	}
	return nil
}

func (c *cluster) remove(ctx context.Context, name string) error {
	if err := c.observe(ctx); err != nil {
		return err
	}
	for s, h := range c.truth {
		if s.topic == name {
			h.gone = true
		}
	}
	return c.fake.DeleteTopic(name)
}

// streams are those that exist, in order.
func (c *cluster) streams() []stream {
	var list []stream
	for s, h := range c.truth {
		if !h.gone {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b stream) int {
		if a.topic != b.topic {
			return slices.Compare([]byte(a.topic), []byte(b.topic))
		}
		return int(a.partition - b.partition)
	})
	return list
}

func newCluster(brokers int, dir string) *cluster {
	return &cluster{brokers: brokers, dir: filepath.Join(dir, "kafka"), copied: filepath.Join(dir, "copy"), truth: map[stream]*history{}}
}
