package doctor

// The checks' names: the engine, a slash, what is checked.
const (
	S3Reach           = "s3/reach"
	S3Create          = "s3/create-once"
	S3Swap            = "s3/compare-and-swap"
	S3Late            = "s3/late-write"
	S3Read            = "s3/read-after-write"
	S3List            = "s3/list-after-write"
	S3Range           = "s3/range"
	S3Checksum        = "s3/checksum"
	S3Lock            = "s3/lock"
	S3Cleanup         = "s3/cleanup"
	KafkaReach        = "kafka/reach"
	KafkaVersion      = "kafka/version"
	KafkaTopics       = "kafka/topics"
	KafkaRead         = "kafka/read"
	KafkaConfigs      = "kafka/configs"
	KafkaGroup        = "kafka/group"
	KafkaTransactions = "kafka/transactions"
	KafkaSnapshots    = "kafka/snapshots"
	ReplayClusters    = "replay/clusters"
	IndexReach        = "index/reach"
	IndexVersion      = "index/version"
	IndexSchema       = "index/schema"
	IndexWrite        = "index/write"
	ClockS3           = "clock/s3"
	ClockKafka        = "clock/kafka"
	ClockIndex        = "clock/index"
)

// Entry is a check as the catalogue has it. Asks is the question that it
// answers, in one line.
type Entry struct{ Name, Asks string }

// Catalog returns every check, in the order of a report.
func Catalog() []Entry {
	return []Entry{
		{S3Reach, "Does the store answer, is the bucket there, and do the keys fit?"},
		{S3Create, "Does If-None-Match let exactly one of 32 concurrent writers create an object?"},
		{S3Swap, "Does If-Match let exactly one of 32 concurrent writers replace an object?"},
		{S3Late, "Does a conditional write that its writer gave up leave alone what was written since?"},
		{S3Read, "Does a read see the write that was answered before it, also where it saw nothing before?"},
		{S3List, "Does a listing see it, in the order of keys, behind a start, in pages, and by folders?"},
		{S3Range, "Are ranged reads answered with that range?"},
		{S3Checksum, "Is a write refused whose bytes are not those of its checksum?"},
		{S3Lock, "Which versioning and object lock has the bucket?"},
		{S3Cleanup, "Could everything that this examination wrote be deleted again?"},
		{KafkaReach, "Do the brokers answer, and does the cluster have an ID that the archive can be keyed by?"},
		{KafkaVersion, "Do the brokers know topic IDs (KIP-516), also in fetches?"},
		{KafkaTopics, "Which topics are archived, and has each its ID?"},
		{KafkaRead, "May every topic that is to be archived be read?"},
		{KafkaConfigs, "May the topics' configuration be read, so that commits can say which was in force?"},
		{KafkaGroup, "May the archiver's consumer group be joined?"},
		{KafkaTransactions, "Does an open transaction hold the last stable offset back, and since when?"},
		{KafkaSnapshots, "May what consumer groups have committed, and the topics' access rules, be read for snapshots?"},
		{ReplayClusters, "Does each cluster answer that replays may produce into, under one name, and may topics be made there?"},
		{IndexReach, "Does ClickHouse answer, and does it know the user?"},
		{IndexVersion, "Is it a version that Annals runs on?"},
		{IndexSchema, "Are the tables those of this program?"},
		{IndexWrite, "May the user make, fill, read, change and drop a table?"},
		{ClockS3, "How far is the store's clock from this machine's?"},
		{ClockKafka, "Are there records from the future?"},
		{ClockIndex, "How far is ClickHouse's clock from this machine's?"},
	}
}
