package index

import (
	"math"
	"strconv"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// noEventTime stands for an absent contract time: a Nullable column costs a
// mask in every read.
const noEventTime = math.MinInt64

// identity are the columns that every row of a record has.
type identity struct {
	topicID   []string
	partition []int32
	branch    []int32
	offset    []int64
	version   []uint16
	timestamp []int64
}

func (c *identity) add(r *schema.Record, topicID string, version Version) {
	c.topicID = append(c.topicID, topicID)
	c.partition = append(c.partition, r.Partition)
	c.branch = append(c.branch, r.Branch)
	c.offset = append(c.offset, r.Offset)
	c.version = append(c.version, uint16(version))
	c.timestamp = append(c.timestamp, r.Timestamp)
}

func (c *identity) reset() {
	c.topicID, c.partition, c.branch = c.topicID[:0], c.partition[:0], c.branch[:0]
	c.offset, c.version, c.timestamp = c.offset[:0], c.version[:0], c.timestamp[:0]
}

// block is one insert's rows for the three tables of a record, column by
// column.
type block struct {
	rows    identity
	ids     identity
	idHash  []uint64
	idKind  []uint8
	idTrace []uint64

	traceHash    []uint64
	topic        []string
	status       []int8
	eventTime    []int64
	archivedAt   []int64
	traceID      []string
	eventID      []string
	spanID       []string
	eventType    []string
	eventVersion []string
	service      []string
	stage        []int8
	bytes        []int64
	nullValue    []uint8
	errors       [][]string

	causes packed

	topicIDs    map[schema.TopicID]string
	scratch     []byte
	lastTopicID schema.TopicID
	lastText    string
}

// reset empties the block and keeps its memory, but no string: those may point
// into a fetch's buffers.
func (b *block) reset() {
	b.rows.reset()
	b.ids.reset()
	for _, texts := range []*[]string{
		&b.topic, &b.traceID, &b.eventID, &b.spanID, &b.eventType, &b.eventVersion, &b.service,
	} {
		clear(*texts)
		*texts = (*texts)[:0]
	}
	clear(b.errors)
	b.errors = b.errors[:0]
	b.causes.reset()
	b.idHash, b.idKind, b.idTrace = b.idHash[:0], b.idKind[:0], b.idTrace[:0]
	b.traceHash, b.status = b.traceHash[:0], b.status[:0]
	b.eventTime, b.archivedAt = b.eventTime[:0], b.archivedAt[:0]
	b.stage, b.bytes, b.nullValue = b.stage[:0], b.bytes[:0], b.nullValue[:0]
}

func (b *block) add(row Row, archivedAt int64) {
	r, x := row.Record, row.Extraction
	topicID := b.topicIDText(r.TopicID)
	trace := traceHash(x.TraceID, r.Position())
	version := row.Version
	if version == 0 {
		version = Fresh
	}
	b.rows.add(r, topicID, version)
	b.traceHash = append(b.traceHash, trace)
	b.topic = append(b.topic, r.Topic)
	b.status = append(b.status, int8(r.Status))
	eventTime := int64(noEventTime)
	if x.HasEventTime {
		eventTime = x.EventTime
	}
	b.eventTime = append(b.eventTime, eventTime)
	b.archivedAt = append(b.archivedAt, archivedAt)
	b.traceID = append(b.traceID, x.TraceID)
	b.eventID = append(b.eventID, x.EventID)
	b.spanID = append(b.spanID, x.SpanID)
	b.eventType = append(b.eventType, x.EventType)
	b.eventVersion = append(b.eventVersion, x.EventVersion)
	b.service = append(b.service, x.SourceService)
	b.stage = append(b.stage, int8(x.Stage))
	b.bytes = append(b.bytes, r.Bytes())
	tombstone := uint8(0)
	if r.Value == nil && r.Status != schema.Control {
		tombstone = 1
	}
	b.nullValue = append(b.nullValue, tombstone)
	b.errors = append(b.errors, x.Errors)
	b.addCauses(x.Causes)
	b.addIDs(r, x, topicID, trace, version)
}

// topicIDText gives the sixteen bytes as a string, made once a topic.
func (b *block) topicIDText(id schema.TopicID) string {
	if id == b.lastTopicID && b.lastText != "" {
		return b.lastText
	}
	text, ok := b.topicIDs[id]
	if !ok {
		if b.topicIDs == nil || len(b.topicIDs) > 10_000 {
			b.topicIDs = map[schema.TopicID]string{}
		}
		text = string(id[:])
		b.topicIDs[id] = text
	}
	b.lastTopicID, b.lastText = id, text
	return text
}

// addCauses writes a row's causes one below the other; an array of texts costs
// the client twice as much. Ids hold no line breaks; should one, it must not
// look like two causes.
func (b *block) addCauses(causes []schema.Cause) {
	text := b.causes.text
	for i, cause := range causes {
		if i > 0 {
			text = append(text, '\n')
		}
		text = append(text, cause.Kind.String()...)
		text = append(text, ':')
		id := cause.ID
		if strings.Contains(id, "\n") {
			id = strings.ReplaceAll(id, "\n", "\uFFFD")
		}
		text = append(text, id...)
	}
	b.causes.text, b.causes.ends = text, append(b.causes.ends, len(text))
}

// packed is a column of texts, end to end: where each ends.
type packed struct {
	text []byte
	ends []int
}

func (p *packed) reset() { p.text, p.ends = p.text[:0], p.ends[:0] }

// row is text n.
func (p *packed) row(n int) []byte {
	from := 0
	if n > 0 {
		from = p.ends[n-1]
	}
	return p.text[from:p.ends[n]]
}

func (b *block) addIDs(r *schema.Record, x *schema.Extraction, topicID string, trace uint64, version Version) {
	b.scratch = append(b.scratch[:0], r.Topic...)
	b.scratch = append(b.scratch, '/')
	b.scratch = strconv.AppendInt(b.scratch, int64(r.Partition), 10)
	b.scratch = append(b.scratch, '/')
	b.scratch = strconv.AppendInt(b.scratch, r.Offset, 10)
	b.addID(r, topicID, trace, version, schema.IDRecord, Hash(b.scratch))
	if x.EventID != "" {
		b.addID(r, topicID, trace, version, schema.IDEvent, Hash(x.EventID))
	}
	if x.SpanID != "" {
		b.addID(r, topicID, trace, version, schema.IDSpan, Hash(x.SpanID))
	}
	for _, id := range x.Identifiers {
		if id.Kind == schema.IDSpan && id.ID == x.SpanID {
			continue
		}
		b.addID(r, topicID, trace, version, id.Kind, Hash(id.ID))
	}
	for _, cause := range x.Causes {
		b.addID(r, topicID, trace, version, refKind(cause.Kind), Hash(cause.ID))
	}
}

func (b *block) addID(r *schema.Record, topicID string, trace uint64, version Version, kind schema.IDKind, hash uint64) {
	b.ids.add(r, topicID, version)
	b.idHash = append(b.idHash, hash)
	b.idKind = append(b.idKind, uint8(kind))
	b.idTrace = append(b.idTrace, trace)
}

// refKind is under which kind a declared cause is found by who it names.
func refKind(kind schema.CauseKind) schema.IDKind {
	switch kind {
	case schema.CauseEvent:
		return schema.RefEvent
	case schema.CauseSpan:
		return schema.RefSpan
	default:
		return schema.RefRecord
	}
}

func (b *block) recordColumns() []any {
	return []any{
		b.topic, b.rows.topicID, b.rows.partition, b.rows.branch, b.rows.offset,
		b.status, b.rows.version, b.rows.timestamp, b.eventTime, b.archivedAt,
		b.traceID, b.eventID, b.eventType, b.eventVersion, b.service, b.stage, b.bytes, b.nullValue, b.errors,
	}
}

func (b *block) traceColumns() []any {
	return []any{
		b.traceHash, b.traceID, b.topic, b.rows.topicID, b.rows.partition, b.rows.branch, b.rows.offset,
		b.status, b.rows.version, b.rows.timestamp, b.eventTime,
		b.eventID, b.spanID, &b.causes, b.eventType, b.eventVersion, b.service, b.stage, b.bytes, b.nullValue,
	}
}

func (b *block) idColumns() []any {
	return []any{
		b.idHash, b.idKind, b.idTrace, b.ids.topicID, b.ids.partition, b.ids.branch, b.ids.offset,
		b.ids.version, b.ids.timestamp,
	}
}
