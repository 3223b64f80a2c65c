package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/doctor"
)

// choose finds the topics that are to be archived.
func (e *examination) choose(listed *kmsg.MetadataResponse) doctor.Check {
	internal, partitions := 0, 0
	var nameless, excluded []string
	for _, t := range listed.Topics {
		switch {
		case t.Topic == nil:
			continue
		case t.IsInternal:
			internal++
			continue
		case e.Topics != nil && !e.Topics(*t.Topic):
			excluded = append(excluded, *t.Topic)
			continue
		}
		topic := Topic{Name: *t.Topic, ID: t.TopicID, Err: kerr.ErrorForCode(t.ErrorCode)}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, p.Partition)
			if _, has := e.leaders[topic.Name]; !has && p.Leader >= 0 {
				e.leaders[topic.Name], e.probes[topic.Name] = p.Leader, p.Partition
			}
		}
		if topic.ID.IsZero() && topic.Err == nil {
			nameless = append(nameless, topic.Name)
		}
		partitions += len(topic.Partitions)
		e.topics = append(e.topics, topic)
	}
	slices.SortFunc(e.topics, func(x, y Topic) int { return strings.Compare(x.Name, y.Name) })
	seen := fmt.Sprintf("%d topics with %d partitions are to be archived; %d left out by kafka.topics", len(e.topics), partitions, len(excluded))
	if len(excluded) > 0 {
		slices.Sort(excluded)
		seen += " (" + some(excluded) + ")"
	}
	seen += fmt.Sprintf(", %d internal to Kafka", internal)
	switch {
	case len(nameless) > 0:
		return doctor.Ill(doctor.KafkaTopics, doctor.Failed, "update the brokers to Kafka 2.8 or later, and inter.broker.protocol.version with them: topics get their IDs then", "%s; no ID has %s", seen, some(nameless))
	case len(e.topics) == 0:
		return doctor.Ill(doctor.KafkaTopics, doctor.Indeterminate, "compare with what the cluster's owner sees: topics that this user may not Describe are not listed at all", "%s", seen)
	}
	return doctor.Well(doctor.KafkaTopics, "%s; those that this user may not Describe are not listed", seen)
}

// names are the topics' names.
func (e *examination) names() []string {
	names := make([]string, len(e.topics))
	for i, t := range e.topics {
		names[i] = t.Name
	}
	return names
}

// read fetches from one partition of each topic, at its end: the right is
// asked for before the data is.
func (e *examination) read(ctx context.Context) doctor.Check {
	var denied, silent []string
	for _, t := range e.topics {
		if t.Err != nil {
			denied = append(denied, fmt.Sprintf("%s (%v)", t.Name, t.Err))
		} else if _, led := e.leaders[t.Name]; !led {
			silent = append(silent, t.Name+" (no leader)")
		}
	}
	ends, err := e.admin.admin.ListEndOffsets(ctx, e.names()...)
	if err := answered(ends, err); err != nil {
		return doctor.Ill(doctor.KafkaRead, doctor.Indeterminate, "run annals doctor again", "%v", unavailable("list offsets", err))
	}
	for leader, topics := range e.byLeader() {
		codes, err := e.fetch(ctx, leader, topics, ends)
		for _, t := range topics {
			code, ok := codes[t.Name]
			switch problem := kerr.ErrorForCode(code); {
			case err != nil:
				silent = append(silent, fmt.Sprintf("%s (broker %d: %v)", t.Name, leader, err))
			case !ok:
				silent = append(silent, t.Name+" (left out of the answer)")
			case isAny(problem, kerr.TopicAuthorizationFailed):
				denied = append(denied, t.Name)
			case problem != nil:
				silent = append(silent, fmt.Sprintf("%s (%v)", t.Name, problem))
			}
		}
	}
	slices.Sort(denied)
	slices.Sort(silent)
	may := len(e.topics) - len(denied) - len(silent)
	switch {
	case len(denied) > 0:
		return doctor.Ill(doctor.KafkaRead, doctor.Failed, "grant Describe and Read on these topics, or leave them out with kafka.topics.exclude", "%d of %d topics may be read; not %s", may, len(e.topics), some(denied))
	case len(silent) > 0:
		return doctor.Ill(doctor.KafkaRead, doctor.Indeterminate, "run annals doctor again; a topic without a leader cannot be archived", "%d of %d topics may be read; not known of %s", may, len(e.topics), some(silent))
	}
	return doctor.Well(doctor.KafkaRead, "%d topics may be read, as a fetch from one partition of each shows", may)
}

func (e *examination) byLeader() map[int32][]Topic {
	by := map[int32][]Topic{}
	for _, t := range e.topics {
		if leader, ok := e.leaders[t.Name]; ok && t.Err == nil {
			by[leader] = append(by[leader], t)
		}
	}
	return by
}

// fetch asks a broker for nothing of many topics, and returns its verdict on
// each.
func (e *examination) fetch(ctx context.Context, leader int32, topics []Topic, ends kadm.ListedOffsets) (map[string]int16, error) {
	request := kmsg.NewPtrFetchRequest()
	request.ReplicaID, request.MaxWaitMillis, request.MinBytes, request.MaxBytes = -1, 0, 0, 1
	name := map[[16]byte]string{}
	for _, t := range topics {
		partition := kmsg.NewFetchRequestTopicPartition()
		partition.Partition, partition.PartitionMaxBytes, partition.CurrentLeaderEpoch = e.probes[t.Name], 1, -1
		if end, ok := ends.Lookup(t.Name, partition.Partition); ok && end.Err == nil {
			partition.FetchOffset = end.Offset
		}
		asked := kmsg.NewFetchRequestTopic()
		asked.Topic, asked.TopicID, asked.Partitions = t.Name, t.ID, append(asked.Partitions, partition)
		request.Topics = append(request.Topics, asked)
		name[t.ID] = t.Name
	}
	response, err := request.RequestWith(ctx, e.admin.client.Broker(int(leader)))
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return nil, err
	}
	codes := map[string]int16{}
	for _, t := range response.Topics {
		topic := t.Topic
		if topic == "" {
			topic = name[t.TopicID]
		}
		for _, p := range t.Partitions {
			codes[topic] = p.ErrorCode
		}
	}
	return codes, nil
}

// configs asks for the topics' configuration.
func (e *examination) configs(ctx context.Context) doctor.Check {
	request := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range e.names() {
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType, resource.ResourceName, resource.ConfigNames = kmsg.ConfigResourceTypeTopic, name, []string{"cleanup.policy"}
		request.Resources = append(request.Resources, resource)
	}
	response, err := request.RequestWith(ctx, e.admin.client)
	if err != nil {
		return doctor.Ill(doctor.KafkaConfigs, doctor.Indeterminate, "run annals doctor again", "%v", unavailable("describe configurations", err))
	}
	known := map[string]bool{}
	for _, one := range response.Resources {
		known[one.ResourceName] = one.ErrorCode == 0
	}
	var unknown []string
	for _, t := range e.topics {
		if !known[t.Name] {
			unknown = append(unknown, t.Name)
		}
	}
	if len(unknown) > 0 {
		return doctor.Ill(doctor.KafkaConfigs, doctor.Warning, todoConfigs, "of %d of %d topics; not of %s", len(e.topics)-len(unknown), len(e.topics), some(unknown))
	}
	return doctor.Well(doctor.KafkaConfigs, "of %d topics", len(e.topics))
}

const todoConfigs = "grant DescribeConfigs on these topics: without it commits do not say which configuration was in force, and offsets that compaction took are an unexplained gap"

// clock looks for records from the future. Kafka tells no time, so that only a
// broker or a producer ahead of this machine, or this machine behind, is seen.
func (e *examination) clock(ctx context.Context) doctor.Check {
	listed, err := e.admin.admin.ListMaxTimestampOffsets(ctx, e.names()...)
	if err := answered(listed, err); err != nil {
		return doctor.Ill(doctor.ClockKafka, doctor.Indeterminate, "update to Kafka 3.0 or later (KIP-734)", "%v", unavailable("list the newest timestamps", err))
	}
	newest := kadm.ListedOffset{Timestamp: -1}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err == nil && o.Offset >= 0 && o.Timestamp > newest.Timestamp {
			newest = o
		}
	})
	if newest.Timestamp < 0 {
		return doctor.Ill(doctor.ClockKafka, doctor.Indeterminate, "run annals doctor again when there are records", "no topic has a record with a time")
	}
	at := time.UnixMilli(newest.Timestamp)
	where := named(newest.Topic, newest.Partition)
	if ahead := time.Until(at); ahead > doctor.MaxClockOffset {
		return doctor.Ill(doctor.ClockKafka, doctor.Warning, "let brokers, producers and this machine follow the same time servers (NTP): replays and searches by time go by these timestamps",
			"a record of %s carries %s, %s from now", where, at.UTC().Format(time.RFC3339), ahead.Round(time.Millisecond))
	}
	return doctor.Well(doctor.ClockKafka, "the newest record, of %s, is of %s; a clock that is behind is not seen: Kafka tells no time of its own", where, at.UTC().Format(time.RFC3339))
}
