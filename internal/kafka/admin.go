package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/schema"
)

// Admin asks a cluster about itself and creates topics. Safe for concurrent use.
type Admin struct {
	client  *kgo.Client
	admin   *kadm.Client
	leaders shared[*kmsg.MetadataResponse]       // by topic
	bounds  shared[map[string]map[int32]Offsets] // by topic
}

// NewAdmin connects lazily: the first call says whether the brokers answer.
func NewAdmin(options Options) (*Admin, error) {
	client, err := options.client()
	if err != nil {
		return nil, err
	}
	return &Admin{client: client, admin: kadm.NewClient(client)}, nil
}

// Close releases the connections.
func (a *Admin) Close() { a.client.Close() }

// Topic is one incarnation of a topic as the cluster describes it. Err is the
// broker's reason why it cannot be read, such as a missing permission; then
// Partitions may be empty. A topic without Describe is left out by the
// brokers.
type Topic struct {
	Name       string
	ID         schema.TopicID
	Internal   bool
	Partitions []int32
	// LeaderEpochs are those of Partitions, -1 where there is no leader or the
	// broker is older than they are.
	LeaderEpochs []int32
	Access       Access
	NoWrite      bool // the principal may not Write; false where the broker does not say
	Err          error
}

// Access is what the principal may do with a topic.
type Access uint8

// What a principal may do. A broker that does not say is taken to allow Read:
// the fetch will tell.
const (
	MayRead    Access = iota
	NoRead            // it may be seen, not read
	NoDescribe        // asked for by name; the broker does not even say that it exists
)

// accessOf reads KIP-430's bits: 1 << operation, of which All is 2 and Read 3.
func accessOf(t *kmsg.MetadataResponseTopic) Access {
	const unknown, mayRead = math.MinInt32, 1<<kmsg.ACLOperationAll | 1<<kmsg.ACLOperationRead
	switch {
	case t.ErrorCode == kerr.TopicAuthorizationFailed.Code:
		return NoDescribe
	case t.ErrorCode == 0 && t.AuthorizedOperations != unknown && t.AuthorizedOperations&mayRead == 0:
		return NoRead
	default:
		return MayRead
	}
}

// mayNotWrite reads KIP-430's bits: All is 2 and Write 4.
func mayNotWrite(t *kmsg.MetadataResponseTopic) bool {
	const unknown, mayWrite = math.MinInt32, 1<<kmsg.ACLOperationAll | 1<<kmsg.ACLOperationWrite
	return t.ErrorCode == kerr.TopicAuthorizationFailed.Code ||
		t.ErrorCode == 0 && t.AuthorizedOperations != unknown && t.AuthorizedOperations&mayWrite == 0
}

// Cluster is what a metadata request answers now.
type Cluster struct {
	ID     string
	Topics []Topic // by name
}

// Cluster asks for every topic that the principal may Describe: brokers leave
// the others out, without a word. See Describe and OnDisk. It sends the request
// itself, since kadm answers from a cache that can hold a deleted topic's ID.
func (a *Admin) Cluster(ctx context.Context) (Cluster, error) {
	return a.metadata(ctx, nil)
}

// Describe asks for topics by name: only so does a broker tell a topic that
// the principal may not Describe (NoDescribe, which it also answers for one
// that does not exist) from one that is gone, which is left out.
func (a *Admin) Describe(ctx context.Context, names ...string) ([]Topic, error) {
	asked := make([]kmsg.MetadataRequestTopic, len(names))
	for i, name := range names {
		asked[i] = kmsg.NewMetadataRequestTopic()
		asked[i].Topic = &name
	}
	cluster, err := a.metadata(ctx, asked)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(cluster.Topics, func(t Topic) bool { return errors.Is(t.Err, kerr.UnknownTopicOrPartition) }), nil
}

// metadata asks for topics; nil: for all.
func (a *Admin) metadata(ctx context.Context, topics []kmsg.MetadataRequestTopic) (Cluster, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics, request.AllowAutoTopicCreation, request.IncludeTopicAuthorizedOperations = topics, false, true
	response, err := request.RequestWith(ctx, a.client)
	if err != nil {
		return Cluster{}, unavailable("list topics", err)
	}
	cluster := Cluster{Topics: make([]Topic, 0, len(response.Topics))}
	if response.ClusterID != nil {
		cluster.ID = *response.ClusterID
	}
	for i := range response.Topics {
		t := &response.Topics[i]
		if t.Topic == nil {
			continue
		}
		topic := Topic{
			Name: *t.Topic, ID: t.TopicID, Internal: t.IsInternal, Access: accessOf(t), NoWrite: mayNotWrite(t), Err: kerr.ErrorForCode(t.ErrorCode),
		}
		slices.SortFunc(t.Partitions, func(x, y kmsg.MetadataResponseTopicPartition) int { return cmp.Compare(x.Partition, y.Partition) })
		for _, p := range t.Partitions {
			epoch := p.LeaderEpoch
			if p.Leader < 0 {
				epoch = -1
			}
			topic.Partitions, topic.LeaderEpochs = append(topic.Partitions, p.Partition), append(topic.LeaderEpochs, epoch)
		}
		cluster.Topics = append(cluster.Topics, topic)
	}
	slices.SortFunc(cluster.Topics, func(x, y Topic) int { return strings.Compare(x.Name, y.Name) })
	return cluster, nil
}

// OnDisk names every topic that the brokers keep on disk, whether or not the
// principal may Describe it. It takes Describe on the cluster, else it is a
// Permission error. The answer is as long as the cluster has replicas: it is
// for now and then.
func (a *Admin) OnDisk(ctx context.Context) ([]string, error) {
	brokers, err := a.admin.DescribeAllLogDirs(ctx, nil)
	switch {
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		return nil, schema.Errorf(schema.Permission, "list the topics on disk: %w", err)
	case err != nil:
		return nil, unavailable("list the topics on disk", err)
	}
	names := map[string]bool{}
	for _, dirs := range brokers {
		for _, dir := range dirs {
			for topic := range dir.Topics {
				names[topic] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// Ping tells whether a broker answers.
func (a *Admin) Ping(ctx context.Context) error {
	if err := a.client.Ping(ctx); err != nil {
		return unavailable("reach Kafka", err)
	}
	return nil
}

// Offsets are a partition's bounds: log start, last stable offset and high
// watermark. Err says why some of them are not known: they are zero then, which is
// no answer.
type Offsets struct {
	LogStart, LastStable, HighWatermark int64
	Err                                 error
}

// Offsets asks for the bounds of all partitions of the topics, by three requests to
// each leader. A partition that none of them was answered for may be left out; one
// that some were not answered for has an Err.
func (a *Admin) Offsets(ctx context.Context, topics ...string) (map[string]map[int32]Offsets, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	bounds, answers := map[string]map[int32]Offsets{}, map[TopicPartition]int{}
	asks := []struct {
		list func(context.Context, ...string) (kadm.ListedOffsets, error)
		put  func(*Offsets, int64)
	}{
		{a.admin.ListStartOffsets, func(o *Offsets, v int64) { o.LogStart = v }},
		{a.admin.ListCommittedOffsets, func(o *Offsets, v int64) { o.LastStable = v }},
		{a.admin.ListEndOffsets, func(o *Offsets, v int64) { o.HighWatermark = v }},
	}
	silent := errors.New("not all of its bounds were answered")
	for _, ask := range asks {
		listed, err := ask.list(ctx, topics...)
		if err != nil && len(listed) == 0 {
			return nil, unavailable("list offsets", err)
		}
		if err != nil { // of some leaders: what they lead is not listed
			silent = fmt.Errorf("%w: %w", silent, err)
		}
		listed.Each(func(l kadm.ListedOffset) {
			o := bounds[l.Topic][l.Partition]
			ask.put(&o, l.Offset)
			o.Err = cmp.Or(l.Err, o.Err)
			if bounds[l.Topic] == nil {
				bounds[l.Topic] = map[int32]Offsets{}
			}
			bounds[l.Topic][l.Partition] = o
			answers[TopicPartition{l.Topic, l.Partition}]++
		})
	}
	for topic, partitions := range bounds {
		for number, o := range partitions {
			if o.Err == nil && answers[TopicPartition{topic, number}] < len(asks) {
				o.Err = silent
				partitions[number] = o
			}
		}
	}
	return bounds, nil
}

// OffsetsOf asks for the bounds of one partition. Those who ask at once for
// partitions of one topic share requests, which are sent after the call.
// Unavailable when there is no answer for the partition.
func (a *Admin) OffsetsOf(ctx context.Context, topic string, partition int32) (Offsets, error) {
	all, err := a.bounds.ask(ctx, topic, func(ctx context.Context) (map[string]map[int32]Offsets, error) {
		return a.Offsets(ctx, topic)
	})
	if err != nil {
		return Offsets{}, err
	}
	one, ok := all[topic][partition]
	if !ok || one.Err != nil {
		return Offsets{}, schema.Errorf(schema.Unavailable, "ask for the offsets of %s: %w", named(topic, partition),
			cmp.Or(one.Err, errors.New("no answer for this partition")))
	}
	return one, nil
}

// Config asks for a topic's configuration, defaults included, sorted by key.
// Sensitive values are empty, as the broker sends them. Permission: it takes
// DescribeConfigs on the topic, which neither Describe nor Read brings along.
func (a *Admin) Config(ctx context.Context, topic string) ([]ConfigEntry, error) {
	described, err := a.admin.DescribeTopicConfigs(ctx, topic)
	if err == nil {
		var one kadm.ResourceConfig
		one, err = described.On(topic, nil)
		if err == nil {
			err = one.Err
		}
		if err == nil {
			return entries(one), nil
		}
	}
	if isAny(err, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed) {
		return nil, schema.Errorf(schema.Permission, "describe configuration of topic %s: %w", topic, err)
	}
	return nil, unavailable("describe configuration of topic "+topic, err)
}

// Configs is Config of many topics at once. A topic whose configuration may not
// be read, or that is gone, is left out.
func (a *Admin) Configs(ctx context.Context, topics ...string) (map[string][]ConfigEntry, error) {
	all := make(map[string][]ConfigEntry, len(topics))
	for some := range slices.Chunk(topics, 500) {
		described, err := a.admin.DescribeTopicConfigs(ctx, some...)
		if err != nil {
			return all, unavailable("describe configurations", err)
		}
		for _, one := range described {
			if one.Err == nil {
				all[one.Name] = entries(one)
			}
		}
	}
	return all, nil
}

// ConfigEntry is one configuration key in force.
type ConfigEntry struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Dynamic bool   `json:"dynamic"` // set on the topic, not inherited
}

func entries(described kadm.ResourceConfig) []ConfigEntry {
	list := make([]ConfigEntry, 0, len(described.Configs))
	for _, c := range described.Configs {
		list = append(list, ConfigEntry{
			Key: c.Key, Value: c.MaybeValue(), Dynamic: c.Source == kmsg.ConfigSourceDynamicTopicConfig,
		})
	}
	slices.SortFunc(list, func(x, y ConfigEntry) int { return strings.Compare(x.Key, y.Key) })
	return list
}

// CreateTopic creates one topic, replicated as the broker's default says, and
// returns its ID. A name that exists is a Conflict. configs may be nil.
func (a *Admin) CreateTopic(ctx context.Context, name string, partitions int32, configs map[string]string) (schema.TopicID, error) {
	return a.CreateReplicated(ctx, name, partitions, -1, configs)
}

// CreateReplicated is CreateTopic with a replication factor; -1 is the
// broker's default.
func (a *Admin) CreateReplicated(ctx context.Context, name string, partitions int32, replication int16, configs map[string]string) (schema.TopicID, error) {
	values := make(map[string]*string, len(configs))
	for k, v := range configs {
		values[k] = &v
	}
	created, err := a.admin.CreateTopic(ctx, partitions, replication, values, name)
	if err != nil {
		return schema.TopicID{}, createError(name, err)
	}
	return schema.TopicID(created.ID), nil
}

func createError(name string, err error) error {
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists):
		return schema.Errorf(schema.Conflict, "create topic %s: it exists already", name)
	case isAny(err, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed):
		return schema.Errorf(schema.Permission, "create topic %s: %w", name, err)
	case isAny(err, kerr.InvalidConfig, kerr.InvalidTopicException, kerr.InvalidPartitions, kerr.PolicyViolation):
		return schema.Errorf(schema.Invalid, "create topic %s: %w", name, err)
	}
	return unavailable(fmt.Sprintf("create topic %s", name), err)
}

// MayCreate asks whether CreateReplicated would create a topic, and creates
// nothing. Its errors are those of CreateReplicated.
func (a *Admin) MayCreate(ctx context.Context, name string, partitions int32, replication int16) error {
	answers, err := a.admin.ValidateCreateTopics(ctx, partitions, replication, nil, name)
	if err == nil {
		err = answers[name].Err
	}
	if err != nil {
		return createError(name, err)
	}
	return nil
}

// SetConfig sets one configuration key of a topic. Permission: it takes
// AlterConfigs on the topic.
func (a *Admin) SetConfig(ctx context.Context, topic, key, value string) error {
	answers, err := a.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
	if err == nil {
		var one kadm.AlterConfigsResponse
		if one, err = answers.On(topic, nil); err == nil {
			err = one.Err
		}
	}
	switch {
	case err == nil:
		return nil
	case isAny(err, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed):
		return schema.Errorf(schema.Permission, "set %s of topic %s: %w", key, topic, err)
	case isAny(err, kerr.InvalidConfig, kerr.InvalidRequest, kerr.PolicyViolation):
		return schema.Errorf(schema.Invalid, "set %s=%s of topic %s: %w", key, value, topic, err)
	}
	return unavailable(fmt.Sprintf("set %s of topic %s", key, topic), err)
}

// coordinatorWait bounds how long the coordinator of transactions is looked for: where
// there never was a transaction it may not be there yet.
const coordinatorWait = 3 * time.Second

// MayTransact asks whether the principal may Describe a transactional ID, which Write
// brings along. Permission: it may not. Whether it may Write shows to who begins alone,
// since beginning fences others. A coordinator that does not answer says nothing: nil.
func (a *Admin) MayTransact(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, coordinatorWait)
	defer cancel()
	err := a.admin.FindTxnCoordinators(ctx, id)[id].Err
	if isAny(err, kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed) {
		return schema.Errorf(schema.Permission, "look for the coordinator of transactional id %s: %w", id, err)
	}
	return nil
}
