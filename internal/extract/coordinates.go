package extract

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/fx-risk-ai/annals/schema"
)

// coordinatePart is one of the headers that together name a record.
type coordinatePart struct {
	field field
	part  part
	value []byte
}

func (r *reading) takePart(m meaning, value []byte) {
	if len(r.parts) >= 4*MaxCauses {
		addError(r.into, CausesTruncated)
		return
	}
	r.parts = append(r.parts, coordinatePart{field: m.field, part: m.part, value: unquoted(value)})
}

// finishCoordinates joins the parts of each dialect: the first topic with the
// first partition and the first offset, and so on, whatever order the headers
// stand in. If the numbers of the three differ, which belongs to which cannot
// be told, and none is taken.
func (r *reading) finishCoordinates(seen *causeSet) {
	for f := sourceRecord; f <= replayOriginal; f++ {
		if r.hasPart(f) {
			r.finishDialect(f, seen)
		}
	}
}

func (r *reading) hasPart(f field) bool {
	for i := range r.parts {
		if r.parts[i].field == f {
			return true
		}
	}
	return false
}

func (r *reading) finishDialect(f field, seen *causeSet) {
	incomplete, wrong := OriginalIncomplete, OriginalMalformed
	cause := schema.Cause{Kind: schema.CauseCopy}
	switch f {
	case sourceRecord:
		incomplete, wrong = SourceIncomplete, SourceMalformed
		cause.Kind = schema.CauseRecord
	case lineageRecord:
		incomplete, wrong = SourceIncomplete, SourceMalformed
		cause.Kind = schema.CauseRecord
	case springOriginal, binderOriginal, connectOriginal, streamsOriginal:
		r.into.Stage = schema.StageDeadLetter
	case replayOriginal:
		r.replayed = true
	}
	var backing [4][8][]byte
	var lists [4][][]byte
	for i := range lists {
		lists[i] = backing[i][:0]
	}
	for i := range r.parts {
		if p := &r.parts[i]; p.field == f {
			lists[p.part] = append(lists[p.part], p.value)
		}
	}
	names, ids := lists[topicPart], lists[topicIDPart]
	if len(names) == 0 {
		names, ids = ids, nil
	}
	partitions, offsets := lists[partitionPart], lists[offsetPart]
	if len(names) != len(partitions) || len(names) != len(offsets) || len(ids) != 0 && len(ids) != len(names) {
		addError(r.into, incomplete)
		return
	}
	for i, name := range names {
		partition, ok1 := CoordinateNumber(partitions[i], math.MaxInt32)
		offset, ok2 := CoordinateNumber(offsets[i], math.MaxInt64)
		if !ok1 || !ok2 || !schema.LikeTopicName(name) || len(ids) > 0 && !schema.LikeTopicName(ids[i]) {
			addError(r.into, wrong)
			continue
		}
		at := schema.Coordinates{Topic: string(name), Partition: int32(partition), Offset: offset}
		if f == lineageRecord && i < len(names)-1 {
			r.identify(schema.RefRecord, at.String()) // further up the path
			continue
		}
		cause.ID = at.String()
		seen.add(cause)
		if len(ids) > 0 {
			at.Topic = string(ids[i])
			r.identify(schema.RefRecord, at.String())
		}
	}
}

// CoordinateNumber reads a partition or an offset, from 0 to limit: decimal text,
// or the four or eight big-endian bytes that Spring writes. Digits are text: as
// binary they would be numbers that no partition or offset reaches.
func CoordinateNumber(value []byte, limit int64) (int64, bool) {
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		return n, n >= 0 && n <= limit
	}
	switch len(value) {
	case 4:
		n := int64(int32(binary.BigEndian.Uint32(value)))
		return n, n >= 0 && n <= limit
	case 8:
		n := int64(binary.BigEndian.Uint64(value))
		return n, n >= 0 && n <= limit
	}
	return 0, false
}
