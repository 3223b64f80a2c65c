package extract

// The provenance headers that a replay writes, beside the record's own, when
// it is asked to. They are recognised here and make the record a copy.
const (
	HeaderReplayID        = "annals-replay-id"        // the replay job's id, text
	HeaderSourceTopic     = "annals-source-topic"     // the source topic's name, text
	HeaderSourceTopicID   = "annals-source-topic-id"  // schema.TopicID's text
	HeaderSourcePartition = "annals-source-partition" // decimal text
	HeaderSourceOffset    = "annals-source-offset"    // decimal text
)

// field is a role that a header or a member of the payload can play.
type field uint8

const (
	_ field = iota

	// One value each, the best ranked; what loses is dropped, an event id kept.
	eventID
	eventType
	eventVersion
	sourceService
	eventTime
	eventStage

	// Ids of the trace.
	traceID
	spanID
	parentSpan
	traceparent
	originTraceparent // CloudEvents: where the trace began, not this hop
	b3
	b3Trace
	b3Span
	b3Parent
	jaeger
	datadogTrace
	datadogSpan
	datadogTags
	amazonTrace
	skyWalking

	// Any number.
	causation
	causationList // one value that holds several
	correlation
	axonCorrelation // the direct cause or the flow, by Axon's version

	// Coordinates: topic, partition and offset under three names.
	sourceRecord
	lineageRecord // the whole path, the direct input last
	springOriginal
	springRetry
	binderOriginal
	connectOriginal
	streamsOriginal
	replayOriginal

	replayJob
	contentType
	valueSchema
	specVersion
	nested // an object of the payload in which names count, too
	fieldCount
)

// The subject of each field's error codes.
var fieldSubjects = [fieldCount]string{
	eventID: "event_id", eventType: "event_type", eventVersion: "event_version",
	sourceService: "source_service", eventTime: "timestamp", eventStage: "stage",
	traceID: "trace_id", spanID: "span_id", parentSpan: "parent_span_id",
	traceparent: "traceparent", originTraceparent: "ce_traceparent",
	b3: "b3", b3Trace: "b3", b3Span: "b3", b3Parent: "b3",
	jaeger: "uber_trace_id", amazonTrace: "x_amzn_trace_id", skyWalking: "sw8",
	datadogTrace: "x_datadog", datadogSpan: "x_datadog", datadogTags: "x_datadog", axonCorrelation: "correlation_id",
	causation: "causation_id", causationList: "causation_id", correlation: "correlation_id",
}

// scope tells where a name counts.
type scope uint8

const (
	inHeader   scope = 1 << iota
	inRoot           // a member of the payload's root object
	inEnvelope       // a member of an envelope object, or of a CloudEvent's root
)

const (
	// own: a name so telling that it counts wherever it stands.
	own = inHeader | inRoot | inEnvelope
	// common: a word that business objects use, too ("id", "type", "source").
	common = inHeader | inEnvelope
)

// part numbers the three names of coordinates.
type part uint8

const (
	topicPart part = iota
	partitionPart
	offsetPart
	topicIDPart
)

// meaning is what a name says: the field, and which value wins where several
// names give it: the smaller rank. Ranks below 1 are for overrides.
type meaning struct {
	field field
	rank  uint8
	scope scope
	part  part
}

// word is one spelling of a name. Names are compared folded: in lower case,
// without '-', '_' and '.'; so one word stands for eventId, event_id and
// Event-ID.
type word struct {
	text  string
	means meaning
}

// dialect is one family of names. Adding a vendor's dialect is adding an entry
// here and, where its values have a form of their own, a field and its parser
// in reading.take.
type dialect struct {
	source string // who defines it
	words  []word
}

var dialects = []dialect{
	{"the event contract and its usual spellings", []word{
		{"eventId", meaning{field: eventID, rank: 1, scope: own}},
		{"xEventId", meaning{field: eventID, rank: 1, scope: own}},
		{"messageId", meaning{field: eventID, rank: 4, scope: own}},
		{"xMessageId", meaning{field: eventID, rank: 4, scope: own}},
		{"id", meaning{field: eventID, rank: 5, scope: common}},
		{"eventType", meaning{field: eventType, rank: 1, scope: own}},
		{"xEventType", meaning{field: eventType, rank: 1, scope: own}},
		{"eventName", meaning{field: eventType, rank: 2, scope: own}},
		{"messageType", meaning{field: eventType, rank: 4, scope: own}},
		{"type", meaning{field: eventType, rank: 5, scope: common}},
		{"eventVersion", meaning{field: eventVersion, rank: 1, scope: own}},
		{"xEventVersion", meaning{field: eventVersion, rank: 1, scope: own}},
		{"eventTypeVersion", meaning{field: eventVersion, rank: 1, scope: own}},
		{"schemaVersion", meaning{field: eventVersion, rank: 4, scope: own}},
		{"version", meaning{field: eventVersion, rank: 5, scope: common}},
		{"sourceService", meaning{field: sourceService, rank: 1, scope: own}},
		{"xSourceService", meaning{field: sourceService, rank: 1, scope: own}},
		{"serviceName", meaning{field: sourceService, rank: 4, scope: common}},
		{"service", meaning{field: sourceService, rank: 5, scope: common}},
		{"producer", meaning{field: sourceService, rank: 6, scope: common}},
		{"source", meaning{field: sourceService, rank: 7, scope: common}},
		{"eventTimestamp", meaning{field: eventTime, rank: 1, scope: own}},
		{"timestamp", meaning{field: eventTime, rank: 2, scope: own}},
		{"eventTime", meaning{field: eventTime, rank: 3, scope: own}},
		{"occurredAt", meaning{field: eventTime, rank: 4, scope: own}},
		{"time", meaning{field: eventTime, rank: 5, scope: common}},
		{"xLineageStage", meaning{field: eventStage, rank: 1, scope: own}},
		{"lineageStage", meaning{field: eventStage, rank: 1, scope: own}},
		{"eventStage", meaning{field: eventStage, rank: 1, scope: own}},
		{"stage", meaning{field: eventStage, rank: 5, scope: own}},
		{"traceId", meaning{field: traceID, rank: 1, scope: own}},
		{"xTraceId", meaning{field: traceID, rank: 1, scope: own}},
		{"spanId", meaning{field: spanID, rank: 1, scope: own}},
		{"xSpanId", meaning{field: spanID, rank: 1, scope: own}},
		{"parentSpanId", meaning{field: parentSpan, rank: 1, scope: own}},
		{"xParentSpanId", meaning{field: parentSpan, rank: 1, scope: own}},
	}},
	{"causation and correlation by convention", []word{
		{"causationId", meaning{field: causation, scope: own}},
		{"xCausationId", meaning{field: causation, scope: own}},
		{"parentEventId", meaning{field: causation, scope: own}},
		{"xParentEventId", meaning{field: causation, scope: own}},
		{"causationIds", meaning{field: causationList, scope: own}},
		{"parentEventIds", meaning{field: causationList, scope: own}},
		{"correlationId", meaning{field: correlation, scope: own}},
		{"xCorrelationId", meaning{field: correlation, scope: own}},
		{"conversationId", meaning{field: correlation, scope: own}},
		{"xConversationId", meaning{field: correlation, scope: own}},
		{"xRequestId", meaning{field: correlation, scope: own}},
		{"requestId", meaning{field: correlation, scope: common}},
	}},
	{"W3C Trace Context", []word{
		{"traceparent", meaning{field: traceparent, rank: 2, scope: own}},
	}},
	{"B3 (openzipkin/b3-propagation), single and multi", []word{
		{"b3", meaning{field: b3, rank: 3, scope: inHeader}},
		{"X-B3-TraceId", meaning{field: b3Trace, rank: 4, scope: inHeader}},
		{"X-B3-SpanId", meaning{field: b3Span, rank: 4, scope: inHeader}},
		{"X-B3-ParentSpanId", meaning{field: b3Parent, rank: 4, scope: inHeader}},
	}},
	{"tracers of vendors", []word{
		{"elastic-apm-traceparent", meaning{field: traceparent, rank: 5, scope: inHeader}},
		{"uber-trace-id", meaning{field: jaeger, rank: 6, scope: inHeader}},
		{"x-datadog-trace-id", meaning{field: datadogTrace, rank: 7, scope: inHeader}},
		{"x-datadog-parent-id", meaning{field: datadogSpan, rank: 7, scope: inHeader}},
		{"x-datadog-tags", meaning{field: datadogTags, rank: 7, scope: inHeader}},
		{"X-Amzn-Trace-Id", meaning{field: amazonTrace, rank: 8, scope: inHeader}},
		{"sw8", meaning{field: skyWalking, rank: 9, scope: inHeader}},
	}},
	{"CloudEvents 1.0, Kafka binding in binary mode, and its extensions", []word{
		{"ce_id", meaning{field: eventID, rank: 3, scope: inHeader}},
		{"ce_eventid", meaning{field: eventID, rank: 2, scope: inHeader}},
		{"ce_type", meaning{field: eventType, rank: 3, scope: inHeader}},
		{"ce_eventversion", meaning{field: eventVersion, rank: 2, scope: inHeader}},
		{"ce_dataversion", meaning{field: eventVersion, rank: 3, scope: inHeader}},
		{"ce_sourceservice", meaning{field: sourceService, rank: 2, scope: inHeader}},
		{"ce_source", meaning{field: sourceService, rank: 3, scope: inHeader}},
		{"ce_time", meaning{field: eventTime, rank: 4, scope: inHeader}},
		{"ce_lineagestage", meaning{field: eventStage, rank: 2, scope: inHeader}},
		{"ce_stage", meaning{field: eventStage, rank: 3, scope: inHeader}},
		{"ce_traceid", meaning{field: traceID, rank: 11, scope: inHeader}},
		{"ce_traceparent", meaning{field: originTraceparent, rank: 12, scope: inHeader}},
		{"ce_causationid", meaning{field: causation, scope: inHeader}},
		{"ce_correlationid", meaning{field: correlation, scope: inHeader}},
		{"specversion", meaning{field: specVersion, scope: inRoot}},
		{"content-type", meaning{field: contentType, scope: inHeader}},
	}},
	{"input coordinates, ours to recommend to producers", []word{
		{"x-src-topic", meaning{field: sourceRecord, scope: inHeader, part: topicPart}},
		{"x-src-partition", meaning{field: sourceRecord, scope: inHeader, part: partitionPart}},
		{"x-src-offset", meaning{field: sourceRecord, scope: inHeader, part: offsetPart}},
	}},
	{"message buses: Axon, NServiceBus, MassTransit", []word{
		{"axon-message-id", meaning{field: eventID, rank: 4, scope: inHeader}},
		{"axon-message-type", meaning{field: eventType, rank: 4, scope: inHeader}},
		{"axon-message-revision", meaning{field: eventVersion, rank: 4, scope: inHeader}},
		{"axon-metadata-traceId", meaning{field: traceID, rank: 10, scope: inHeader}},
		{"axon-metadata-correlationId", meaning{field: axonCorrelation, scope: inHeader}},
		{"axon-metadata-causationId", meaning{field: causation, scope: inHeader}},
		{"NServiceBus.MessageId", meaning{field: eventID, rank: 4, scope: inHeader}},
		{"NServiceBus.OriginatingEndpoint", meaning{field: sourceService, rank: 4, scope: inHeader}},
		{"NServiceBus.RelatedTo", meaning{field: causation, scope: inHeader}},
		{"NServiceBus.CorrelationId", meaning{field: correlation, scope: inHeader}},
		{"NServiceBus.ConversationId", meaning{field: correlation, scope: inHeader}},
		{"InitiatorId", meaning{field: causation, scope: inHeader}},
	}},
	{"input coordinates that streams-bootstrap (bakdata) writes", []word{
		{"streams.bootstrap.lineage.topic", meaning{field: lineageRecord, scope: inHeader, part: topicPart}},
		{"streams.bootstrap.lineage.partition", meaning{field: lineageRecord, scope: inHeader, part: partitionPart}},
		{"streams.bootstrap.lineage.offset", meaning{field: lineageRecord, scope: inHeader, part: offsetPart}},
	}},
	{"Spring Cloud Stream's Kafka binder: dead letters", []word{
		{"x-original-topic", meaning{field: binderOriginal, scope: inHeader, part: topicPart}},
		{"x-original-partition", meaning{field: binderOriginal, scope: inHeader, part: partitionPart}},
		{"x-original-offset", meaning{field: binderOriginal, scope: inHeader, part: offsetPart}},
	}},
	{"Spring for Apache Kafka: dead letters and retry topics", []word{
		{"kafka_dlt-original-topic", meaning{field: springOriginal, scope: inHeader, part: topicPart}},
		{"kafka_dlt-original-partition", meaning{field: springOriginal, scope: inHeader, part: partitionPart}},
		{"kafka_dlt-original-offset", meaning{field: springOriginal, scope: inHeader, part: offsetPart}},
		{"kafka_original-topic", meaning{field: springRetry, scope: inHeader, part: topicPart}},
		{"kafka_original-partition", meaning{field: springRetry, scope: inHeader, part: partitionPart}},
		{"kafka_original-offset", meaning{field: springRetry, scope: inHeader, part: offsetPart}},
		{"kafka_correlationId", meaning{field: correlation, scope: inHeader}},
	}},
	{"Kafka Connect dead letters (KIP-298)", []word{
		{"__connect.errors.topic", meaning{field: connectOriginal, scope: inHeader, part: topicPart}},
		{"__connect.errors.partition", meaning{field: connectOriginal, scope: inHeader, part: partitionPart}},
		{"__connect.errors.offset", meaning{field: connectOriginal, scope: inHeader, part: offsetPart}},
	}},
	{"Kafka Streams dead letters (KIP-1034)", []word{
		{"__streams.errors.topic", meaning{field: streamsOriginal, scope: inHeader, part: topicPart}},
		{"__streams.errors.partition", meaning{field: streamsOriginal, scope: inHeader, part: partitionPart}},
		{"__streams.errors.offset", meaning{field: streamsOriginal, scope: inHeader, part: offsetPart}},
	}},
	{"provenance of our own replays", []word{
		{HeaderReplayID, meaning{field: replayJob, scope: inHeader}},
		{HeaderSourceTopic, meaning{field: replayOriginal, scope: inHeader, part: topicPart}},
		{HeaderSourceTopicID, meaning{field: replayOriginal, scope: inHeader, part: topicIDPart}},
		{HeaderSourcePartition, meaning{field: replayOriginal, scope: inHeader, part: partitionPart}},
		{HeaderSourceOffset, meaning{field: replayOriginal, scope: inHeader, part: offsetPart}},
	}},
	{"schema registry serialisers: the schema id in a header", []word{
		{"__value_schema_id", meaning{field: valueSchema, scope: inHeader}},
	}},
	{"objects of a payload that hold the contract fields", []word{
		{"metadata", meaning{field: nested, scope: inRoot}},
		{"meta", meaning{field: nested, scope: inRoot}},
		{"envelope", meaning{field: nested, scope: inRoot}},
		{"header", meaning{field: nested, scope: inRoot}},
	}},
}

// vocabulary maps folded names to their meaning.
var vocabulary = func() map[string]meaning {
	words := make(map[string]meaning, 128)
	for _, d := range dialects {
		for _, w := range d.words {
			var buffer [maxNameBytes]byte
			words[string(fold(buffer[:0], w.text))] = w.means
		}
	}
	return words
}()

// A longer name plays no role.
const maxNameBytes = 64

// fold appends the folded name to buffer, or nothing if it is too long.
func fold[T string | []byte](buffer []byte, name T) []byte {
	if len(name) > maxNameBytes {
		return buffer
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c == '-', c == '_', c == '.':
		case 'A' <= c && c <= 'Z':
			buffer = append(buffer, c|0x20)
		default:
			buffer = append(buffer, c)
		}
	}
	return buffer
}

// meaningOf looks a name up for a scope.
func meaningOf[T string | []byte](name T, in scope) (meaning, bool) {
	var buffer [maxNameBytes]byte
	m, ok := vocabulary[string(fold(buffer[:0], name))]
	return m, ok && m.scope&in != 0
}

// IsContractName tells whether a member of a payload's root object carries the
// event's contract (ids, type, version, service, time, trace, causes) rather
// than its content, and IsEnvelopeName whether it is an object of which
// IsEnvelopeMember tells the same. Every hop writes these anew, so comparing
// contents leaves them out.
func IsContractName(name string) bool {
	m, ok := meaningOf(name, inRoot)
	return ok && m.field != nested
}

// IsEnvelopeName tells whether a member of the root is an envelope object.
func IsEnvelopeName(name string) bool {
	m, ok := meaningOf(name, inRoot)
	return ok && m.field == nested
}

// IsEnvelopeMember tells whether a member of an envelope object, or of the
// root of a CloudEvent, carries the contract.
func IsEnvelopeMember(name string) bool {
	_, ok := meaningOf(name, inEnvelope)
	return ok
}
