package segment

import (
	"hash/maphash"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/parquet"

	"github.com/fx-risk-ai/annals/schema"
)

// bytesColumn stages one text or bytes column of a row group: the present
// values end to end, and Parquet's levels. It costs five to nine bytes a value
// beside the bytes themselves.
type bytesColumn struct {
	data []byte
	ends []uint32
	defs []int16 // nil for a required column outside a list
	reps []int16 // nil outside a list
}

func (c *bytesColumn) reset() {
	if cap(c.data) > keptBytes {
		c.data = nil
	}
	c.data, c.ends, c.defs, c.reps = c.data[:0], c.ends[:0], c.defs[:0], c.reps[:0]
}

func (c *bytesColumn) present(def int16) {
	c.ends = append(c.ends, uint32(len(c.data)))
	c.defs = append(c.defs, def)
}

// optional appends a value of an optional column; nil is null.
func (c *bytesColumn) optional(v []byte) {
	if v == nil {
		c.defs = append(c.defs, 0)
		return
	}
	c.data = append(c.data, v...)
	c.present(1)
}

// text appends a string of an optional text column; empty is null. Parquet
// text is UTF-8 and one bad byte makes some engines refuse a whole file, so
// what is not UTF-8 becomes U+FFFD: the exact bytes stand in the payload.
func (c *bytesColumn) text(v string) {
	if v == "" {
		c.defs = append(c.defs, 0)
		return
	}
	c.data = append(c.data, valid(v)...)
	c.present(1)
}

// element appends one string of a list column.
func (c *bytesColumn) element(first bool, v string) {
	c.reps = append(c.reps, repetition(first))
	c.data = append(c.data, valid(v)...)
	c.present(1)
}

// noElements appends an empty list.
func (c *bytesColumn) noElements() {
	c.reps = append(c.reps, 0)
	c.defs = append(c.defs, 0)
}

// value gives the i-th present value.
func (c *bytesColumn) value(i int) parquet.ByteArray {
	start := uint32(0)
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.data[start:c.ends[i]:c.ends[i]]
}

// distinct counts the distinct values staged.
func (c *bytesColumn) distinct() int {
	seed := maphash.MakeSeed()
	seen := make(map[uint64]struct{}, len(c.ends))
	for i := range c.ends {
		seen[maphash.Bytes(seed, c.value(i))] = struct{}{}
	}
	return len(seen)
}

func valid(v string) string {
	if utf8.ValidString(v) {
		return v
	}
	return strings.ToValidUTF8(v, "\uFFFD")
}

func repetition(first bool) int16 {
	if first {
		return 0
	}
	return 1
}

// numbers stages one integer column.
type numbers[T int32 | int64] struct {
	values []T
	defs   []int16 // nil for a required column
}

func (c *numbers[T]) reset() { c.values, c.defs = c.values[:0], c.defs[:0] }

func (c *numbers[T]) required(v T) { c.values = append(c.values, v) }

func (c *numbers[T]) optional(v T, ok bool) {
	if !ok {
		c.defs = append(c.defs, 0)
		return
	}
	c.values = append(c.values, v)
	c.defs = append(c.defs, 1)
}

// staging holds the rows of the row group being filled, column by column.
type staging struct {
	rows  int
	bytes int64

	offset, timestamp, producerID    numbers[int64]
	leaderEpoch, producerEpoch       numbers[int32]
	timestampType, status            []uint8 // indexes of the words below
	key, value                       bytesColumn
	headerKey, headerValue           bytesColumn // reps are headerKey's
	eventID, eventType, eventVersion bytesColumn
	sourceService, traceID, spanID   bytesColumn
	parentIDs, contractErrors, stage bytesColumn
	eventTime                        numbers[int64]
	schemaID                         numbers[int32]
}

// keptBytes bounds what one column keeps between row groups: a single huge
// record must not stay in memory.
const keptBytes = 2 * defaultRowGroupBytes

// grow makes room for rows in the columns that every row fills.
func (s *staging) grow(rows int) {
	for _, c := range []*numbers[int64]{&s.offset, &s.timestamp, &s.producerID} {
		c.values = slices.Grow(c.values, rows)
	}
	for _, c := range []*numbers[int32]{&s.leaderEpoch, &s.producerEpoch} {
		c.values = slices.Grow(c.values, rows)
	}
	s.timestampType, s.status = slices.Grow(s.timestampType, rows), slices.Grow(s.status, rows)
}

func (s *staging) reset() {
	s.rows, s.bytes = 0, 0
	for _, c := range []*numbers[int64]{&s.offset, &s.timestamp, &s.producerID, &s.eventTime} {
		c.reset()
	}
	for _, c := range []*numbers[int32]{&s.leaderEpoch, &s.producerEpoch, &s.schemaID} {
		c.reset()
	}
	s.timestampType, s.status = s.timestampType[:0], s.status[:0]
	for _, c := range []*bytesColumn{
		&s.key, &s.value, &s.headerKey, &s.headerValue, &s.eventID, &s.eventType, &s.eventVersion,
		&s.sourceService, &s.traceID, &s.spanID, &s.parentIDs, &s.contractErrors, &s.stage,
	} {
		c.reset()
	}
}

// stagedBytes is what a row adds to the row group, about: it decides when the
// row group is full.
func stagedBytes(r *schema.Record, x *schema.Extraction) int64 {
	const fixedPerRow = 64
	return fixedPerRow + r.Bytes() + 4*int64(len(r.Headers)) + extractedBytes(x)
}

func extractedBytes(x *schema.Extraction) int64 {
	n := int64(len(x.EventID) + len(x.EventType) + len(x.EventVersion) + len(x.SourceService) +
		len(x.TraceID) + len(x.SpanID))
	for i := range x.Causes {
		n += int64(len(x.Causes[i].ID)) + 12
	}
	for i := range x.Errors {
		n += int64(len(x.Errors[i])) + 4
	}
	return n
}

func (s *staging) append(r *schema.Record, x *schema.Extraction, timestampType uint8, size int64) {
	s.rows++
	s.bytes += size
	s.offset.required(r.Offset)
	s.leaderEpoch.required(r.LeaderEpoch)
	s.timestamp.required(r.Timestamp)
	s.timestampType = append(s.timestampType, timestampType)
	s.producerID.required(r.ProducerID)
	s.producerEpoch.required(int32(r.ProducerEpoch))
	s.status = append(s.status, uint8(r.Status))
	s.key.optional(r.Key)
	s.value.optional(r.Value)
	s.headers(r.Headers)
	s.extracted(x)
}

func (s *staging) headers(headers []schema.Header) {
	if len(headers) == 0 {
		s.headerKey.noElements()
		s.headerValue.defs = append(s.headerValue.defs, 0)
		return
	}
	for i := range headers {
		h := &headers[i]
		s.headerKey.reps = append(s.headerKey.reps, repetition(i == 0))
		s.headerKey.data = append(s.headerKey.data, h.Name...)
		s.headerKey.present(1)
		if h.Value == nil {
			s.headerValue.defs = append(s.headerValue.defs, 1)
			continue
		}
		s.headerValue.data = append(s.headerValue.data, h.Value...)
		s.headerValue.present(2)
	}
}

func (s *staging) extracted(x *schema.Extraction) {
	s.eventID.text(x.EventID)
	s.eventType.text(x.EventType)
	s.eventVersion.text(x.EventVersion)
	s.sourceService.text(x.SourceService)
	s.traceID.text(x.TraceID)
	s.spanID.text(x.SpanID)
	for i := range x.Causes {
		s.cause(i == 0, x.Causes[i])
	}
	if len(x.Causes) == 0 {
		s.parentIDs.noElements()
	}
	s.eventTime.optional(x.EventTime, x.HasEventTime)
	stage := ""
	if x.Stage != schema.StageUnknown {
		stage = x.Stage.String()
	}
	s.stage.text(stage)
	s.schemaID.optional(x.SchemaID, x.HasSchemaID)
	for i := range x.Errors {
		s.contractErrors.element(i == 0, x.Errors[i])
	}
	if len(x.Errors) == 0 {
		s.contractErrors.noElements()
	}
}

// cause appends Cause.String without making it.
func (s *staging) cause(first bool, c schema.Cause) {
	s.parentIDs.reps = append(s.parentIDs.reps, repetition(first))
	s.parentIDs.data = append(s.parentIDs.data, c.Kind.String()...)
	s.parentIDs.data = append(s.parentIDs.data, ':')
	s.parentIDs.data = append(s.parentIDs.data, valid(c.ID)...)
	s.parentIDs.present(1)
}
