package schema

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The formats of snapshots (docs/formats/snapshots.md).
const (
	ConsumerOffsetsFormat = "annals.consumer-offsets/1"
	TopicACLsFormat       = "annals.topic-acls/1"
)

// SnapshotsPrefix is where snapshots of a cluster are, and MaxSnapshotBytes how large
// one may be.
const (
	SnapshotsPrefix  = "snapshots/"
	MaxSnapshotBytes = 64 << 20
)

// The kinds of snapshot, as their folders are named.
const (
	SnapshotOffsets = "consumer-offsets"
	SnapshotACLs    = "topic-acls"
)

// ConsumerOffsets is what the consumer groups of a cluster had committed at a time.
type ConsumerOffsets struct {
	Format  string         `json:"format"`
	Cluster string         `json:"cluster"`
	Taken   int64          `json:"taken,string"` // milliseconds since the Unix epoch, the recorder's clock
	Groups  []GroupOffsets `json:"groups"`       // by name; those with an offset
	Hidden  int            `json:"hidden"`       // groups that could not be asked about
	LeftOut int            `json:"left_out"`     // groups beyond what a snapshot holds
}

// GroupOffsets are one group's.
type GroupOffsets struct {
	Group  string        `json:"group"`
	Topics []TopicCommit `json:"topics"` // by name
}

// TopicCommit is what a group had committed of a topic: the next offset to read, by
// partition. TopicID is that of the topic which had the name then; nil: none had.
type TopicCommit struct {
	Topic   string     `json:"topic"`
	TopicID *TopicID   `json:"topic_id"`
	Offsets [][2]int64 `json:"offsets"` // partition, offset; by partition
}

// TopicACLs are the access rules of a cluster's topics at a time. Error says why they
// are not known; then there are none.
type TopicACLs struct {
	Format  string     `json:"format"`
	Cluster string     `json:"cluster"`
	Taken   int64      `json:"taken,string"`
	Error   string     `json:"error"`
	ACLs    []TopicACL `json:"acls"` // by all of their fields, in order
}

// TopicACL is one rule, in Kafka's own words, such as ALLOW, READ and LITERAL.
type TopicACL struct {
	Resource   string `json:"resource"` // a topic's name, a prefix of some, or *
	Pattern    string `json:"pattern"`
	Principal  string `json:"principal"`
	Host       string `json:"host"`
	Operation  string `json:"operation"`
	Permission string `json:"permission"`
}

// SnapshotFolder is where those of a kind and a day in UTC are.
func SnapshotFolder(cluster, kind string, day time.Time) string {
	return SnapshotsPrefix + cluster + "/" + kind + "/" + day.UTC().Format(time.DateOnly) + "/"
}

// SnapshotKey names a snapshot by its time, in milliseconds since the Unix epoch.
func SnapshotKey(cluster, kind string, taken int64) string {
	return fmt.Sprintf("%s%013d.json", SnapshotFolder(cluster, kind, time.UnixMilli(taken)), taken)
}

// ParseSnapshotKey reads the time of a key in a folder; false: the name is not ours.
func ParseSnapshotKey(folder, key string) (taken int64, ok bool) {
	name, inside := strings.CutPrefix(key, folder)
	digits, json := strings.CutSuffix(name, ".json")
	taken, err := strconv.ParseInt(digits, 10, 64)
	return taken, inside && json && err == nil && len(digits) == 13
}

// Encode gives the canonical bytes: as of a commit, every list in its order. A
// snapshot that is too large is Exhausted.
func (c *ConsumerOffsets) Encode() ([]byte, error) {
	slices.SortFunc(c.Groups, func(a, b GroupOffsets) int { return cmp.Compare(a.Group, b.Group) })
	for i := range c.Groups {
		topics := c.Groups[i].Topics
		slices.SortFunc(topics, func(a, b TopicCommit) int { return cmp.Compare(a.Topic, b.Topic) })
		for j := range topics {
			slices.SortFunc(topics[j].Offsets, func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) })
		}
	}
	if c.Groups == nil {
		c.Groups = []GroupOffsets{}
	}
	return encodeSnapshot(c)
}

// Encode gives the canonical bytes.
func (a *TopicACLs) Encode() ([]byte, error) {
	slices.SortFunc(a.ACLs, func(x, y TopicACL) int {
		return cmp.Or(cmp.Compare(x.Resource, y.Resource), cmp.Compare(x.Pattern, y.Pattern), cmp.Compare(x.Principal, y.Principal),
			cmp.Compare(x.Host, y.Host), cmp.Compare(x.Operation, y.Operation), cmp.Compare(x.Permission, y.Permission))
	})
	if a.ACLs == nil {
		a.ACLs = []TopicACL{}
	}
	return encodeSnapshot(a)
}

func encodeSnapshot(v any) ([]byte, error) {
	raw, err := canonicalJSON(v)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	if len(raw) > MaxSnapshotBytes {
		return nil, Errorf(Exhausted, "a snapshot of %d bytes, at most %d", len(raw), MaxSnapshotBytes)
	}
	return raw, nil
}

// ParseConsumerOffsets reads canonical bytes. Anything else is Corrupt, a newer version
// ErrNewer.
func ParseConsumerOffsets(raw []byte) (*ConsumerOffsets, error) {
	c := &ConsumerOffsets{}
	if err := parseSnapshot(raw, c, &c.Format, ConsumerOffsetsFormat); err != nil {
		return nil, err
	}
	return c, canonicalSnapshot(raw, c.Encode)
}

// ParseTopicACLs reads canonical bytes, as ParseConsumerOffsets does.
func ParseTopicACLs(raw []byte) (*TopicACLs, error) {
	a := &TopicACLs{}
	if err := parseSnapshot(raw, a, &a.Format, TopicACLsFormat); err != nil {
		return nil, err
	}
	return a, canonicalSnapshot(raw, a.Encode)
}

func parseSnapshot(raw []byte, into any, format *string, want string) error {
	if err := DecodeStrictly(raw, into); err != nil {
		return Newer(raw, Errorf(Corrupt, "parse snapshot: %w", err), want)
	}
	return CheckFormat(*format, want)
}

func canonicalSnapshot(raw []byte, encode func() ([]byte, error)) error {
	again, err := encode()
	if err == nil && !bytes.Equal(raw, again) {
		err = Errorf(Corrupt, "parse snapshot: the bytes are not canonical")
	}
	return err
}
