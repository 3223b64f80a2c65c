package schema

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Object keys below the archive's prefix. Partition folders have five digits,
// offsets and seqs twenty: as text they sort as numbers, so one LIST finds the
// newest.
const (
	DataPrefix    = "data/"
	LedgerPrefix  = "ledger/"
	RollupPrefix  = "rollup/"
	TopicsPrefix  = "topics/"
	SchemasPrefix = "schemas/"
	ReplayPrefix  = "jobs/replay/"

	CompactionPrefix = "jobs/compact/"
)

// SegmentKey names a segment by its content: a late writer can never overwrite
// what was committed.
func SegmentKey(s Stream, base, next int64, sha Digest) string {
	return fmt.Sprintf("%s%020d-%020d-%s.parquet", DataStreamPrefix(s), base, next, sha.String()[:16])
}

// DataStreamPrefix is the folder of one stream's segments, gap lists and raw
// batches.
func DataStreamPrefix(s Stream) string {
	return fmt.Sprintf("%s%s/%s/%05d/", DataPrefix, EscapeTopic(s.Topic), s.TopicID, s.Partition)
}

// dataName is what SegmentKey, GapsKey and BatchKey put behind the folder.
var dataName = regexp.MustCompile(`^([0-9]{20})-([0-9]{20})-[0-9a-f]{16}\.(parquet|gaps\.json|batch)$`)

// ParseDataKey reads the offsets of a segment's, a gap list's or a raw batch's
// key in a stream's folder. Any other name there is not ours.
func ParseDataKey(s Stream, key string) (base, next int64, ok bool) {
	name, inside := strings.CutPrefix(key, DataStreamPrefix(s))
	parts := dataName.FindStringSubmatch(name)
	if !inside || parts == nil {
		return 0, 0, false
	}
	base, baseErr := strconv.ParseInt(parts[1], 10, 64)
	next, nextErr := strconv.ParseInt(parts[2], 10, 64)
	return base, next, baseErr == nil && nextErr == nil && base <= next
}

// DataStream reads the stream, without its cluster, of a segment's, a gap
// list's or a raw batch's key. Any other name is not ours.
func DataStream(key string) (Stream, bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 5 {
		return Stream{}, false
	}
	topic, ok := unescapeTopic(parts[1])
	id, idErr := ParseTopicID(parts[2])
	partition, numErr := strconv.ParseInt(parts[3], 10, 32)
	s := Stream{Topic: topic, TopicID: id, Partition: int32(partition)}
	if !ok || idErr != nil || numErr != nil {
		return Stream{}, false
	}
	_, _, ours := ParseDataKey(s, key)
	return s, ours
}

// CompactionJobPrefix is the folder of the jobs that join a stream's segments.
func CompactionJobPrefix(s Stream) string {
	return fmt.Sprintf("%s%s/%s/%05d/", CompactionPrefix, s.Cluster, s.TopicID, s.Partition)
}

// LedgerStreamPrefix is the folder of one stream's chain.
func LedgerStreamPrefix(s Stream) string {
	return fmt.Sprintf("%s%s/%s/%05d/", LedgerPrefix, s.Cluster, s.TopicID, s.Partition)
}

// CommitKey names the commit seq of a stream.
func CommitKey(s Stream, seq int64) string {
	return fmt.Sprintf("%s%017d/%020d.json", LedgerStreamPrefix(s), seq/1000, seq)
}

// RollupKey names the object that repeats the thousand commits seq÷1000.
func RollupKey(s Stream, thousand int64) string {
	return fmt.Sprintf("%s%s/%s/%05d/%017d.jsonl", RollupPrefix, s.Cluster, s.TopicID, s.Partition, thousand)
}

// TopicConfigKey names the record of a topic's configuration seen at a time,
// in milliseconds since the Unix epoch.
func TopicConfigKey(id TopicID, at int64) string {
	return fmt.Sprintf("%s%013d.json", TopicConfigPrefix(id), at)
}

// TopicConfigPrefix begins the keys of all of a topic's configurations.
func TopicConfigPrefix(id TopicID) string { return TopicsPrefix + id.String() + "/config-" }

// TopicPartitionsKey names the note that a topic was seen with so many partitions.
func TopicPartitionsKey(id TopicID, partitions int) string {
	return fmt.Sprintf("%s%s/partitions-%05d.json", TopicsPrefix, id, partitions)
}

// TopicGoneKey names the note that a topic was seen to be deleted at a time, in
// milliseconds since the Unix epoch.
func TopicGoneKey(id TopicID, at int64) string {
	return fmt.Sprintf("%s%s/gone-%013d.json", TopicsPrefix, id, at)
}

// TopicSettledKey names the note that a deleted topic's chains have ended and that
// the index has all of them, under a version of the extraction. (A note named
// settled-… in place of ended-… was written before chains were ended, and is not
// read any more.)
func TopicSettledKey(id TopicID, cluster string, extractVersion int32) string {
	return fmt.Sprintf("%s%s/ended-%s-%05d.json", TopicsPrefix, id, cluster, extractVersion)
}

// SchemaKey names the archived schema that a registry knows under an id: a
// number, or a GUID.
func SchemaKey(registry, id string) string {
	return SchemasPrefix + registry + "/" + id + ".json"
}

// SchemaUnreadKey names a schema that a registry gave and that could not be
// read: kept for people, never decoded by.
func SchemaUnreadKey(registry, id string) string {
	return SchemasPrefix + registry + "/" + id + ".unread.json"
}

// ParseLedgerKey reads the cluster, topic ID, partition and seq that CommitKey
// wrote. The stream's topic name is not in the key and stays empty.
func ParseLedgerKey(key string) (Stream, int64, error) {
	bad := func() (Stream, int64, error) {
		return Stream{}, 0, Errorf(Corrupt, "parse ledger key %q: not a commit's name", key)
	}
	parts := strings.Split(strings.TrimPrefix(key, LedgerPrefix), "/")
	if !strings.HasPrefix(key, LedgerPrefix) || len(parts) != 5 || !strings.HasSuffix(parts[4], ".json") {
		return bad()
	}
	id, err := ParseTopicID(parts[1])
	if err != nil {
		return bad()
	}
	partition, err := strconv.ParseInt(parts[2], 10, 32)
	if err != nil {
		return bad()
	}
	seq, err := strconv.ParseInt(strings.TrimSuffix(parts[4], ".json"), 10, 64)
	if err != nil {
		return bad()
	}
	s := Stream{Cluster: parts[0], TopicID: id, Partition: int32(partition)}
	if CommitKey(s, seq) != key {
		return bad()
	}
	return s, seq, nil
}

// EscapeTopic percent-encodes a topic name for a key. Kafka allows letters,
// digits, ".", "_" and "-"; everything else, and a name of dots only, is
// encoded, so that no name can leave its folder.
func EscapeTopic(topic string) string {
	var b strings.Builder
	onlyDots := strings.Trim(topic, ".") == ""
	for i := range len(topic) {
		c := topic[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '_' || c == '-' || c == '.' && !onlyDots
		if plain {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// GapsKey names the sidecar that holds a commit's gaps when they are too many
// to stand in it.
func GapsKey(s Stream, base, next int64, sha Digest) string {
	return strings.TrimSuffix(SegmentKey(s, base, next, sha), ".parquet") + ".gaps.json"
}

// BatchKey names the raw bytes of what could not be read of a stream, for the
// gap base to next.
func BatchKey(s Stream, base, next int64, sha Digest) string {
	return strings.TrimSuffix(SegmentKey(s, base, next, sha), ".parquet") + ".batch"
}
