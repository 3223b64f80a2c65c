package config

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// Config is every setting of Annals.
//
// Field tags are the single source of the reference: `yaml` is the key, `doc`
// says what the option is, `change` when to change it, `unit` what a bare
// number counts, `enum` the allowed words, `min` and `max` the allowed range.
// A field of type [Secret] is set from the environment only.
type Config struct {
	Kafka      Kafka         `yaml:"kafka" doc:"The Kafka cluster that is archived. Without brokers, annals up starts an embedded one."`
	S3         S3            `yaml:"s3" doc:"The object store that holds the archive: the only truth. Without an endpoint, annals up keeps the archive in its data folder."`
	ClickHouse ClickHouse    `yaml:"clickhouse" doc:"The index, derived from the archive and rebuildable at any time. Without a URL, annals up starts an embedded one."`
	Archive    Archive       `yaml:"archive" doc:"How records are buffered and sealed into segments."`
	Topics     []TopicPolicy `yaml:"topics" doc:"What holds for topics, by patterns: this list is the only place where that is said (docs/guides/topics.md). For each property the first entry that matches the topic's name and says something of it decides; annals topics shows which. After a change restart, and run annals reindex --topic." change:"To leave topics out, to keep content from the index and from answers, and to name the teams that own topics."`
	Contracts  Contracts     `yaml:"contracts" doc:"What producers promise of their events (docs/guides/contracts.md)."`
	Extract    Extract       `yaml:"extract" doc:"What is read from records beyond the built-in rules, for those topics that need it."`
	Schemas    Schemas       `yaml:"schemas" doc:"The schema registry whose ids stand before or beside Avro, Protobuf and JSON Schema payloads. Without a URL such payloads are archived and not decoded, but for JSON text."`
	Index      Index         `yaml:"index" doc:"What the index keeps and how it is filled."`
	Search     Search        `yaml:"search" doc:"Bounds of searches that read the archive itself."`
	Anomalies  Anomalies     `yaml:"anomalies" doc:"What annals anomalies, and the metrics of it, call too few, too many, and too late (docs/guides/lineage.md)."`
	Replay     Replay        `yaml:"replay" doc:"How history is produced again into new topics."`
	Web        Web           `yaml:"web" doc:"The web API and the explorer."`
	Embedded   Embedded      `yaml:"embedded" doc:"The engines annals up starts itself for whatever is not configured above."`
	Log        Log           `yaml:"log" doc:"What the process says on standard error."`
	Metrics    Metrics       `yaml:"metrics" doc:"What /metrics answers."`
	Telemetry  Telemetry     `yaml:"telemetry" doc:"Traces of Annals' own work. Nothing of them goes into Kafka's records."`

	given map[string]bool // paths of the options that Load found set
}

// Given reports whether [Load] found the option at path (such as
// "index.retention") in the file or the environment, or an override changed it.
func (c *Config) Given(path string) bool { return c.given[path] }

// Kafka is how to reach the cluster and which of its topics are archived.
type Kafka struct {
	Brokers        []string `yaml:"brokers" unit:"host:port" doc:"Bootstrap brokers." change:"Set it to archive your own cluster; two or three addresses survive the loss of one broker."`
	ClientID       string   `yaml:"client_id" doc:"Client id sent to the brokers; it appears in their logs, metrics and quotas." change:"When several installations read one cluster."`
	TLS            KafkaTLS `yaml:"tls" doc:"Encryption towards the brokers."`
	SASL           SASL     `yaml:"sasl" doc:"Authentication towards the brokers."`
	Topics         Topics   `yaml:"topics" doc:"Which topics are archived. Every topic that an include pattern matches and no exclude pattern does."`
	MetadataMaxAge Duration `yaml:"metadata_max_age" min:"1s" max:"30s" doc:"How often the list of topics and partitions is read again; a new topic is found within this time." change:"Raise it when a cluster with very many topics should answer fewer metadata requests."`
}

// TLSFiles names the PEM files of a TLS client.
type TLSFiles struct {
	CAFile     string `yaml:"ca_file" doc:"PEM file of the certificate authorities to trust. Empty: the system's." change:"When the server's certificate is signed by an authority of your own."`
	CertFile   string `yaml:"cert_file" doc:"PEM file of the client certificate, for mutual TLS. Needs key_file." change:"When the server asks for a client certificate."`
	KeyFile    string `yaml:"key_file" doc:"PEM file of the client certificate's private key. Needs cert_file."`
	ServerName string `yaml:"server_name" doc:"Name the server's certificate must carry. Empty: the host that is dialled." change:"When brokers are dialled by an address their certificate does not name."`
}

// KafkaTLS is TLS towards the brokers, whose addresses have no scheme that
// could say it.
type KafkaTLS struct {
	Enabled  bool `yaml:"enabled" doc:"Encrypt the connection with TLS. The server's certificate is always verified; there is no switch to skip that."`
	TLSFiles `yaml:",inline"`
}

// SASL is the authentication towards the brokers.
type SASL struct {
	Mechanism        string `yaml:"mechanism" enum:"none,PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER" doc:"SASL mechanism. With client certificates (mutual TLS) it stays none."`
	Username         string `yaml:"username" doc:"User for PLAIN and SCRAM."`
	Password         Secret `yaml:"password" file:"password_file" doc:"Password for PLAIN and SCRAM."`
	PasswordFile     string `yaml:"password_file" doc:"File that holds the password for PLAIN and SCRAM; one trailing line break is cut. Read once, at start."`
	TokenFile        string `yaml:"token_file" doc:"OAUTHBEARER: file that holds a token, for example a projected Kubernetes service account token. Read again at every authentication, so that it may be rotated."`
	TokenURL         string `yaml:"token_url" doc:"OAUTHBEARER: https address of the token endpoint for the client credentials grant. Needs client_id and a client secret."`
	ClientID         string `yaml:"client_id" doc:"OAUTHBEARER: client id for token_url."`
	ClientSecret     Secret `yaml:"client_secret" file:"client_secret_file" doc:"OAUTHBEARER: client secret for token_url."`
	ClientSecretFile string `yaml:"client_secret_file" doc:"OAUTHBEARER: file that holds the client secret for token_url. Read once, at start."`
	Scope            string `yaml:"scope" doc:"OAUTHBEARER: scope asked of token_url; several are separated by spaces."`
}

// Topics selects topics by regular expressions.
type Topics struct {
	Include []string `yaml:"include" unit:"RE2 pattern" doc:"Regular expressions; a topic is archived when one of them matches its whole name." change:"To archive a part of a cluster. New topics are matched as they appear."`
	Exclude []string `yaml:"exclude" unit:"RE2 pattern" doc:"Regular expressions; a topic whose whole name one of them matches is not archived, whatever include says." change:"To leave out topics whose content must not be kept. The default leaves out the topics that Kafka and Annals keep for themselves."`
}

// S3 is how to reach the object store.
type S3 struct {
	Endpoint        string   `yaml:"endpoint" unit:"URL" doc:"Address of the object store, such as https://s3.eu-central-1.amazonaws.com or http://127.0.0.1:9000. https means TLS." change:"Set it to keep the archive in a store of your own. The store must honour If-None-Match and If-Match."`
	Region          string   `yaml:"region" doc:"Region the requests are signed for. Stores without regions accept any." change:"To the bucket's region."`
	Bucket          string   `yaml:"bucket" doc:"Bucket of the archive. It must exist, except in the embedded store."`
	Prefix          string   `yaml:"prefix" doc:"Folder inside the bucket, without a slash at either end. Empty: the bucket itself." change:"When the bucket is shared. It cannot be changed later without moving the archive."`
	Addressing      string   `yaml:"addressing" enum:"auto,path,virtual-host" doc:"Whether the bucket stands in the path or in the host name. auto: host name at AWS, path elsewhere." change:"To virtual-host for other stores that only know that style."`
	Credentials     string   `yaml:"credentials" enum:"static,env,role" doc:"Where the access keys come from. static: access_key and the secret key given here. env: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. role: the machine's or pod's role (instance metadata, ECS, web identity)."`
	AccessKey       string   `yaml:"access_key" doc:"Access key id, for static credentials."`
	SecretKey       Secret   `yaml:"secret_key" file:"secret_key_file" doc:"Secret access key, for static credentials."`
	SecretKeyFile   string   `yaml:"secret_key_file" doc:"File that holds the secret access key, for static credentials. Read once, at start."`
	TLS             TLSFiles `yaml:"tls" doc:"Certificates, for an https endpoint."`
	RequestTimeout  Duration `yaml:"request_timeout" min:"1s" max:"30m" doc:"How long one request may take, the transfer of a whole segment included." change:"Raise it on slow links: a segment of archive.cut.bytes must pass within it."`
	ConnectionLimit int      `yaml:"connection_limit" unit:"connections" min:"1" max:"1024" doc:"Most connections open to the store at once." change:"Raise it when many partitions are sealed at once and the store is far away."`
}

// ClickHouse is how to reach the index, always over HTTP.
type ClickHouse struct {
	URL          string   `yaml:"url" unit:"URL" doc:"Address of ClickHouse's HTTP interface, such as http://127.0.0.1:8123 or https://clickhouse.example:8443." change:"Set it to use a ClickHouse server of your own."`
	Database     string   `yaml:"database" doc:"Database of the index; its tables are created when missing. Letters, digits and underscores."`
	User         string   `yaml:"user" doc:"User. It needs CREATE, INSERT, SELECT, ALTER and DROP on the database."`
	Password     Secret   `yaml:"password" file:"password_file" doc:"Password."`
	PasswordFile string   `yaml:"password_file" doc:"File that holds the password. Read once, at start."`
	TLS          TLSFiles `yaml:"tls" doc:"Certificates, for an https URL."`
}

// Archive is how records become segments.
type Archive struct {
	Group       string      `yaml:"group" doc:"Kafka consumer group that shares the partitions between archivers. It decides who reads, never from where: positions come from the archive." change:"When two archives read one cluster: each needs a group of its own."`
	Start       string      `yaml:"start" enum:"earliest,latest" doc:"Where a topic begins that is archived for the first time. earliest: at the oldest record Kafka still has. latest: at the end, with everything before it recorded as out of scope. Partitions added later always begin at their oldest record." change:"To latest when history must not be taken over. It is recorded in the archive and cannot be changed afterwards."`
	Cut         Cut         `yaml:"cut" doc:"When a partition's buffer is sealed as a segment. Smaller and sooner: less at stake in Kafka, more objects and requests."`
	Memory      Memory      `yaml:"memory" doc:"The memory that buffers may take, all partitions together."`
	Spool       Spool       `yaml:"spool" doc:"Where buffers go that memory does not hold: a folder on a local disk. Nothing in it is needed after a restart; what stands in Kafka is read again."`
	Compact     Compact     `yaml:"compact" doc:"How the small segments of past days are joined into large ones."`
	DeadLetters DeadLetters `yaml:"dead_letters" doc:"What becomes of what cannot be processed. It is always archived as it is, and an object in the bucket says why (annals dead-letters)."`
	Snapshots   Snapshots   `yaml:"snapshots" doc:"How often it is archived what consumer groups have committed, and the topics' access rules."`
	Collect     Collect     `yaml:"collect" doc:"When objects that nothing needs any more are deleted: segments that were joined into others, and what writers that died left behind."`
}

// Compact says which segments are joined.
type Compact struct {
	Enabled bool     `yaml:"enabled" doc:"Join segments. At least four neighbours of one partition, sealed on one day in UTC and none larger than half the target, become one; their records, proofs and places in the index stay." change:"Switch it off where the store's lifecycle rules must see each segment as it was written."`
	Target  Bytes    `yaml:"target" min:"1MiB" max:"1GiB" doc:"Size up to which segments are joined. Joining takes temporary files of twice this." change:"Lower it where little disk is free; raise it for fewer, larger objects."`
	After   Duration `yaml:"after" min:"1m" max:"365d" doc:"How long after its end a day's segments are joined." change:"Raise it when the youngest segments are read most; it changes nothing but when it is done."`
	Rate    Bytes    `yaml:"rate" min:"64KiB" max:"10GiB" doc:"Most bytes a second that joining reads from the store, of the process. It waits altogether while archiving or the index is behind." change:"Raise it when a day's segments are not joined within a day."`
}

// Snapshots says how often consumer groups and access rules are looked at.
type Snapshots struct {
	Interval Duration `yaml:"interval" min:"0s" max:"24h" doc:"Look so often, and archive what has changed as one object each; what has not changed is written again once an hour. annals replay offsets --as-of finds a group's offsets in them. It takes Describe on the groups, and on the cluster for the access rules. 0: never." change:"Lower it where offsets are to be found to the minute; each look that finds a change is a request to the store."`
}

// DeadLetters says who else is told of what cannot be processed.
type DeadLetters struct {
	Topic string `yaml:"topic" doc:"Topic that each dead letter is produced to as well, as JSON, keyed by the place of its object. It must exist; the user needs Write on it. Empty: none." change:"Set it where something of yours reacts to dead letters."`
}

// Collect says when objects are deleted.
type Collect struct {
	Enabled bool     `yaml:"enabled" doc:"Delete what nothing needs any more. What the ledger needs is never deleted." change:"Switch it off where nothing may ever be deleted; the replaced segments then cost as much again."`
	After   Duration `yaml:"after" min:"24h" max:"3650d" doc:"Age from which on it is deleted: of a segment since it was joined into another, of other objects since they were written." change:"Raise it above the longest time for which somebody reads a list of segments (annals files) that was made before."`
}

// Cut says when a buffer becomes a segment.
type Cut struct {
	Bytes    Bytes    `yaml:"bytes" min:"64KiB" max:"1GiB" doc:"Seal a partition's buffer when it holds this much: keys, values and headers as they were produced, uncompressed. In memory they take 256 bytes more for each record and 64 for each header, which archive.memory.bytes counts." change:"Lower it to seal sooner on busy topics."`
	MinBytes Bytes    `yaml:"min_bytes" min:"0B" max:"1GiB" doc:"Seal at the age below only when the buffer holds at least this much." change:"Lower it to seal quiet topics sooner; requests to the store rise with every segment."`
	Age      Duration `yaml:"age" min:"100ms" max:"24h" doc:"Seal a buffer of at least min_bytes when its oldest record was read this long ago."`
	MaxAge   Duration `yaml:"max_age" min:"100ms" max:"24h" doc:"Seal whatever a buffer holds when its oldest record was read this long ago." change:"Keep it well below the shortest retention of the archived topics. Requests to the store a day: about 2 × active partitions × 86,400 s / this."`
}

// Memory bounds what an archiver holds.
type Memory struct {
	Bytes Bytes `yaml:"bytes" min:"16MiB" max:"64GiB" doc:"Most bytes that buffers and what was read ahead of them take, all partitions of the process together: of each record its bytes, and what archive.cut.bytes says that it takes besides. At 70 % the largest buffers are sealed early; at the limit fetching pauses." change:"Raise it with many busy partitions: below partitions × cut.bytes, segments get smaller. The process needs about twice this, and 360 MiB."`
}

// Spool bounds what an archiver keeps on a local disk.
type Spool struct {
	Bytes Bytes  `yaml:"bytes" min:"0B" max:"16TiB" doc:"Most bytes of compressed records in the spool's files. From half of archive.memory.bytes on the largest buffers go there; at 70 % of this the largest are sealed early. Not less than archive.cut.bytes; what is more than all of it, such as one record, is sealed from memory. 0: no spool. When the disk is full or broken, buffers are sealed from memory as if there were none." change:"Set it where annals plan says that memory cuts segments before their time: with thousands of partitions, or segments of minutes. A record of 300 bytes takes about 100. Records stand on the disk in the clear, readable by the process' user alone."`
	Dir   string `yaml:"dir" doc:"Folder in which annals-spool is made (mode 0700), for one archiver alone: a second one refuses to start. It is emptied at start. Empty: spool in the data folder of annals up; annals archive needs it." change:"Required with annals archive, when there is a spool. A local disk, not the memory of a tmpfs."`
}

// TopicPolicy is what holds for the topics that match a pattern. What is not
// set is not said by it.
type TopicPolicy struct {
	Pattern      string   `yaml:"pattern" doc:"A topic's name, or a pattern in which * stands for any characters and ? for one."`
	Excluded     *bool    `yaml:"excluded" doc:"Such topics are not archived. What was archived before stays."`
	Secret       *bool    `yaml:"secret" doc:"Keys, values and headers are archived, and never shown nor exported; nothing is read from them for the index unless index_ids says so."`
	PersonalData []string `yaml:"personal_data" unit:"locations" doc:"Where personal data stands: key, header:NAME, or a JSON Pointer in which the step * stands for any. It is masked in answers and nothing of it reaches the index; exports that hold it are refused. A value that is not JSON is then withheld whole."`
	IndexIDs     string   `yaml:"index_ids" enum:",all,headers,none" doc:"Where ids and contract fields are read for the index: all is headers and payload (what holds by default), headers the headers alone, none nothing (what holds by default for a secret topic)."`
	IndexKeys    *bool    `yaml:"index_keys" doc:"The record's key is indexed, so that records are found by it: printable text of up to 512 bytes. By default keys are not in the index."`
	IndexHeaders []string `yaml:"index_headers" unit:"header names" doc:"Headers whose values are indexed, so that records are found by them: printable text of up to 512 bytes."`
	DeadLetters  *bool    `yaml:"dead_letters" doc:"Every record of the topics is a dead letter of a service, so that annals dead-letters lists it, whatever its headers say. By default topics are that are named as such: ending in dlq, dlt or dead-letter."`
	Team         string   `yaml:"team" doc:"The team that owns the topics."`
	Retention    Duration `yaml:"retention" min:"0s" max:"36500d" doc:"How long records are to be kept. It is stated and shown, and not enforced: nothing is deleted by it. 0 says nothing."`
}

// Contracts says where contracts are registered.
type Contracts struct {
	Dir string `yaml:"dir" doc:"Folder of contracts, usually a checkout: one YAML file a version of an event type, with its JSON Schema beside it. Empty: none. Read at start; after a change restart, and run annals reindex --topic to hold what is archived to it." change:"To hold events to what their producers promised."`
}

// Extract is how ids and contract fields are read.
type Extract struct {
	Topics []ExtractTopic `yaml:"topics" doc:"Rules for single topics. The first whose topic matches counts; where it finds nothing, the built-in rules hold (docs/guides/extraction.md). After a change, run annals reindex --topic." change:"When a topic keeps its ids where the built-in rules do not look."`
}

// ExtractTopic is where the values of some topics stand. All but Topic, BusinessIDs and
// Contract are locations: "header:NAME", or a JSON Pointer into the payload.
type ExtractTopic struct {
	Topic         string   `yaml:"topic" doc:"Name of the topic, or a pattern in which * stands for any characters and ? for one."`
	EventID       string   `yaml:"event_id" unit:"location" doc:"The event's id."`
	EventType     string   `yaml:"event_type" unit:"location" doc:"Its type."`
	EventVersion  string   `yaml:"event_version" unit:"location" doc:"The version of its type."`
	SourceService string   `yaml:"source_service" unit:"location" doc:"The service that produced it."`
	TraceID       string   `yaml:"trace_id" unit:"location" doc:"The trace."`
	SpanID        string   `yaml:"span_id" unit:"location" doc:"Its own span."`
	ParentSpanID  string   `yaml:"parent_span_id" unit:"location" doc:"The span that caused it."`
	CausationID   string   `yaml:"causation_id" unit:"location" doc:"The event, or an array of those, that caused it."`
	Timestamp     string   `yaml:"timestamp" unit:"location" doc:"When the event happened."`
	Stage         string   `yaml:"stage" unit:"location" doc:"What the step did: ingestion, enrichment, transformation, delivery."`
	BusinessIDs   []string `yaml:"business_ids" unit:"locations" doc:"Ids of the business, such as an order's number; each is kept so that records that share it are found together."`
	Contract      bool     `yaml:"contract" doc:"The topic promises type, version, service, trace and timestamp: what a record lacks of them is among its errors."`
}

// Schemas is how to reach a schema registry with Confluent's API.
type Schemas struct {
	URL          string   `yaml:"url" unit:"URL" doc:"Address of the registry, such as http://127.0.0.1:8081; of Apicurio, with /apis/ccompat/v7 behind it." change:"To read ids, causes and contract fields out of Avro and Protobuf payloads. Every schema that a record names is then kept in the archive."`
	Name         string   `yaml:"name" doc:"Name of the registry in the archive, under which its schemas are kept: letters, digits, dots, hyphens and underscores." change:"When the cluster moves to a registry that gives ids anew: an id of one name means one schema for ever."`
	Archived     bool     `yaml:"archived" doc:"Decode by the schemas that are archived, without a registry." change:"When the registry is gone."`
	Username     string   `yaml:"username" doc:"User of basic authentication."`
	Password     Secret   `yaml:"password" file:"password_file" doc:"Password of basic authentication."`
	PasswordFile string   `yaml:"password_file" doc:"File that holds the password of basic authentication. Read once, at start."`
	Timeout      Duration `yaml:"timeout" min:"100ms" max:"30s" doc:"How long one schema may take to be looked up. Records that wait longer are archived all the same, and are not decoded until they are read again (annals reindex)." change:"Raise it for a registry that is far away."`
	TLS          TLSFiles `yaml:"tls" doc:"Certificates, for an https URL."`
}

// Index is what the index keeps.
type Index struct {
	Retention Duration   `yaml:"retention" min:"0s" max:"36500d" doc:"How long records stay in the index, by their timestamps. 0: for ever. Where it is not set, tables that are there keep what they were made with. Older records stay in the archive and are found there, slower." change:"Raise it when people search further back; the index grows in proportion."`
	Partition string     `yaml:"partition" enum:"months,years" doc:"How the tables are divided by record time. Fixed when the tables are created." change:"To years when records spread over decades: a look-up opens every division."`
	MergeIdle Duration   `yaml:"merge_idle" min:"0s" max:"30d" doc:"A table division that has taken no records for this long is merged into one part, which is what look-ups by id are quickest in. 0: ClickHouse merges by its own measure." change:"Lower it after loading history; raise it where late records keep trickling into old divisions, since each merge writes the division anew."`
	Batch     IndexBatch `yaml:"batch" doc:"How rows are grouped for insertion, whichever limit is met first."`
}

// IndexBatch is how rows are grouped for insertion.
type IndexBatch struct {
	Rows     int      `yaml:"rows" unit:"records" min:"1" max:"1000000" doc:"Insert when this many records are waiting." change:"Raise it to spare ClickHouse merges under heavy load."`
	Interval Duration `yaml:"interval" min:"50ms" max:"1m" doc:"Insert when the oldest waiting record has waited this long. It is the larger part of the time until a record can be searched."`
}

// Search bounds what is not answered from the index.
type Search struct {
	ScanBytes Bytes    `yaml:"scan_bytes" min:"1MiB" max:"1TiB" doc:"Most bytes of segments, as they are stored, that one scan for keys, headers or payloads reads. One segment is read whatever its size. What it did not read is said." change:"Raise it where people must look through more history at once."`
	ScanTime  Duration `yaml:"scan_time" min:"1s" max:"1h" doc:"How long one scan may take." change:"With scan_bytes."`
}

// Anomalies are the thresholds of what differs from how it was.
type Anomalies struct {
	Interval        Duration `yaml:"interval" min:"1m" max:"1d" doc:"How often the metrics are looked up anew."`
	Settle          Duration `yaml:"settle" min:"0s" max:"1d" doc:"An hour of record times is looked at once it is over for this long." change:"Raise it above archive.cut.max_age and the time by which records come late."`
	DropBelow       int      `yaml:"drop_below" unit:"percent" min:"1" max:"99" doc:"A topic's throughput dropped if it is below this share of the records expected: of the same hour of the seven days before the median, or those of a week ago if these are fewer."`
	LeastRecords    int      `yaml:"least_records" unit:"records" min:"1" max:"1000000000" doc:"Topics of which fewer are expected in an hour are not judged."`
	RiseAbove       int      `yaml:"rise_above" unit:"times" min:"1" max:"1000" doc:"Dead letters rose if they are more than this many times the median of the same hour of the seven days before."`
	LeastLetters    int      `yaml:"least_dead_letters" unit:"records" min:"1" max:"1000000000" doc:"Fewer dead letters in an hour are no rise."`
	MismatchAbove   int      `yaml:"mismatch_above" unit:"percent" min:"0" max:"99" doc:"A rule of a contract is broken too often if more than this share of a topic's records in the hour break it."`
	LeastMismatches int      `yaml:"least_mismatches" unit:"records" min:"1" max:"1000000000" doc:"Fewer records that break a rule are no mismatch."`
	Lag             Duration `yaml:"lag" min:"1m" max:"30d" doc:"For how long a record may wait to be sealed, or to be read, before it is late." change:"Above archive.cut.max_age."`
	GapsWithin      Duration `yaml:"gaps_within" min:"1h" max:"365d" doc:"For how long an unexplained gap is shown after it was found."`
}

// Replay is how history is produced again.
type Replay struct {
	PositionTopic       string `yaml:"position_topic" doc:"Compacted topic in which replays record how far they are, in the transaction that delivers the records. Created when missing." change:"When the cluster's naming rules ask for another name; never while a replay is unfinished. Exclude it from the archive."`
	PositionReplication int    `yaml:"position_replication" unit:"replicas" min:"-1" max:"15" doc:"Replication factor of the position topic when it is created. -1: the broker's default. 0 is not a replication factor."`

	Approval        string   `yaml:"approval" enum:"none,outside_sandbox,always" doc:"Which replays somebody else than who asks for them must approve before anything is produced. none: no replay. outside_sandbox: those with a target whose name does not begin with sandbox_prefix, or that is in another cluster. always: every one." change:"Where a replay may reach consumers that matter. Names are what requests say of themselves until a proxy that authenticates sets the header Annals-User."`
	SandboxPrefix   string   `yaml:"sandbox_prefix" doc:"How the names of the topics begin that may be written without an approval where approval is outside_sandbox."`
	ApprovalExpires Duration `yaml:"approval_expires" min:"1m" max:"30d" doc:"For how long an approval lets a replay be begun, or be resumed by a person."`

	UserJobs             int   `yaml:"user_jobs" unit:"replays" min:"0" max:"1000" doc:"Replays of one user that are worked on at once; further ones wait. 0 is no limit. All who give no name are one user." change:"Raise it where one person runs many at once."`
	UserRecordsPerSecond int   `yaml:"user_records_per_second" unit:"records" min:"0" max:"1000000000" doc:"Records that one user's replays produce a second, all together. 0 is no limit." change:"Where replays share brokers with what must not wait."`
	UserBytesPerSecond   Bytes `yaml:"user_bytes_per_second" min:"0B" max:"1TiB" doc:"Bytes of keys, values and headers that one user's replays produce a second, all together. 0 is no limit." change:"With user_records_per_second."`

	Clusters []ReplayCluster `yaml:"clusters" doc:"Other Kafka clusters into which replays may produce, when a plan names one (annals replay plan --to-cluster). The user needs there what replays need: Create, Write, Read and Describe on targets and on position_topic, DescribeConfigs on position_topic, and Write and Describe on the transactional ids annals-replay-*." change:"To replay into a test cluster, or into one that is to be filled again."`
}

// ReplayCluster is a cluster that replays may produce into, besides the archived one.
type ReplayCluster struct {
	Name    string   `yaml:"name" doc:"Name by which plans name the cluster: up to 60 lower-case letters, digits and hyphens. A plan holds the cluster's id as well, so that a name that is given to another cluster produces nothing there."`
	Brokers []string `yaml:"brokers" unit:"host:port" doc:"Bootstrap brokers."`
	TLS     KafkaTLS `yaml:"tls" doc:"Encryption towards the brokers, as in kafka.tls."`
	SASL    SASL     `yaml:"sasl" doc:"Authentication towards the brokers, as in kafka.sasl; secrets stand in files alone."`
}

// preset implements presetter.
func (c *ReplayCluster) preset() { c.SASL.Mechanism = "none" }

// Web is the HTTP listener.
type Web struct {
	Listen       string   `yaml:"listen" unit:"host:port" doc:"Address of the web API and the explorer. Port 0 picks a free one." change:"Behind a proxy that authenticates. This version has no login of its own: who reaches the address reads the archive, and is who the header Annals-User says."`
	AllowedHosts []string `yaml:"allowed_hosts" unit:"host name" doc:"Host names, besides localhost and the loopback addresses, under which requests are answered (without port). Others are refused, which stops web pages from reaching the API through a name of their own." change:"Name the host people type when web.listen is not a loopback address; it is required then."`
}

// Embedded is where annals up puts the engines it starts itself.
type Embedded struct {
	DataDir          string `yaml:"data_dir" doc:"Folder for the data, credentials and up.json of the embedded engines. Created when missing."`
	KafkaListen      string `yaml:"kafka_listen" unit:"host:port" doc:"Loopback address of the embedded Kafka. Port 0 picks a free one."`
	S3Listen         string `yaml:"s3_listen" unit:"host:port" doc:"Loopback address of the embedded object store. Port 0 picks a free one."`
	ClickHouseListen string `yaml:"clickhouse_listen" unit:"host:port" doc:"Loopback address of the embedded ClickHouse. Port 0 picks a free one."`
}

// Log is what the process says.
type Log struct {
	Level  string `yaml:"level" enum:"debug,info,warn,error" doc:"Least important message that is written."`
	Format string `yaml:"format" enum:"auto,json,text" doc:"json: one object a line. text: for people. auto: text on a terminal, json elsewhere."`
}

// Metrics is what /metrics answers.
type Metrics struct {
	Partitions MetricsPartitions `yaml:"partitions" doc:"The metrics of single topic-partitions."`
}

// MetricsPartitions bounds the metrics of partitions.
type MetricsPartitions struct {
	Max int `yaml:"max" unit:"partitions" min:"1" max:"1000000" doc:"Most topic-partitions of a process that have metrics of their own, about fifteen series each. Beyond it the partitions of a topic share theirs, with * as the partition, those of the topics with the most partitions first; annals_archiver_partitions_not_shown says how many do." change:"To what your Prometheus takes."`
}

// Telemetry is where traces go.
type Telemetry struct {
	OTLP OTLP `yaml:"otlp" doc:"The receiver of traces, by OTLP over HTTP."`
}

// OTLP is a receiver of traces.
type OTLP struct {
	Endpoint    string   `yaml:"endpoint" unit:"URL" doc:"Address of an OTLP/HTTP receiver, such as http://127.0.0.1:4318; spans are posted to /v1/traces below it. Empty: nothing is traced." change:"To see where the time of a segment, a replay or a request goes."`
	Headers     Secret   `yaml:"headers" file:"headers_file" doc:"Headers of every request, as name=value pairs with commas between them."`
	HeadersFile string   `yaml:"headers_file" doc:"File that holds the headers. Read once, at start."`
	Sampling    int      `yaml:"sampling" unit:"percent" min:"0" max:"100" doc:"How many of the traces that begin here are sent. A request that comes with a traceparent is traced if its caller says so." change:"Lower it when many requests are answered."`
	TLS         TLSFiles `yaml:"tls" doc:"Certificates, for an https endpoint."`
}

// Default returns the settings that hold where nothing else is said.
func Default() Config {
	return Config{
		Kafka: Kafka{
			ClientID: "annals",
			SASL:     SASL{Mechanism: "none"},
			// Kafka's own topics and ours: archiving the topic in which replays
			// record their position would archive the archive's own traces.
			Topics:         Topics{Include: []string{".*"}, Exclude: []string{"__.*"}},
			MetadataMaxAge: Duration(10 * time.Second),
		},
		S3: S3{
			Region: "us-east-1", Bucket: "annals", Addressing: "auto", Credentials: "static",
			RequestTimeout: Duration(2 * time.Minute), ConnectionLimit: 64,
		},
		ClickHouse: ClickHouse{
			Database: "annals", User: "default",
		},
		Archive: Archive{
			Group: "annals-archiver", Start: "earliest",
			Cut: Cut{
				Bytes: 64 * MiB, MinBytes: 4 * MiB,
				Age: Duration(time.Minute), MaxAge: Duration(15 * time.Minute),
			},
			Memory:  Memory{Bytes: 80 * MiB},
			Compact: Compact{Enabled: true, Target: 128 * MiB, After: Duration(day), Rate: 16 * MiB},
			Collect: Collect{Enabled: true, After: Duration(7 * day)},

			Snapshots: Snapshots{Interval: Duration(5 * time.Minute)},
		},
		Schemas: Schemas{Name: "default", Timeout: Duration(2 * time.Second)},
		Index: Index{
			Retention: Duration(400 * day), Partition: "months", MergeIdle: Duration(6 * time.Hour),
			Batch: IndexBatch{Rows: 5000, Interval: Duration(time.Second)},
		},
		Search: Search{ScanBytes: 1 << 30, ScanTime: Duration(30 * time.Second)},
		Anomalies: Anomalies{
			Interval: Duration(5 * time.Minute), Settle: Duration(30 * time.Minute), DropBelow: 20, LeastRecords: 100,
			RiseAbove: 3, LeastLetters: 10, MismatchAbove: 1, LeastMismatches: 10, Lag: Duration(30 * time.Minute), GapsWithin: Duration(day),
		},
		Replay: Replay{
			PositionTopic: "__annals_replay_positions", PositionReplication: -1,
			Approval: "none", SandboxPrefix: schema.ReplayTopicPrefix, ApprovalExpires: Duration(day), UserJobs: 4,
		},
		Web: Web{Listen: "127.0.0.1:8080"},
		Embedded: Embedded{
			DataDir: "annals-data", KafkaListen: "127.0.0.1:19092",
			S3Listen: "127.0.0.1:19000", ClickHouseListen: "127.0.0.1:18123",
		},
		Log:     Log{Level: "info", Format: "auto"},
		Metrics: Metrics{Partitions: MetricsPartitions{Max: 2000}},

		Telemetry: Telemetry{OTLP: OTLP{Sampling: 100}},
	}
}
