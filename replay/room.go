package replay

import "github.com/fx-risk-ai/annals/schema"

// room holds copies of records, many to an allocation. A record stays valid until
// the room is emptied; what a full piece holds is freed when the last of its
// records is. The zero value is ready. It belongs to one goroutine.
type room struct {
	records []schema.Record
	headers []schema.Header
	bytes   []byte
}

// How large pieces are: small ones, so that of records that go one by one little
// stays behind; those of a room that is emptied grow to its use.
const (
	pieceRecords = 128
	pieceHeaders = 256
	pieceBytes   = 64 << 10
)

// empty makes place for others. What was kept must not be used any more. It is not
// cleared: that costs as much as a copy, and it holds nothing but the room itself.
func (r *room) empty() { r.records, r.headers, r.bytes = r.records[:0], r.headers[:0], r.bytes[:0] }

// keep copies what the producer sends of a record, and where it is from. grow
// makes each piece twice the one before: of a room that will be emptied.
func (r *room) keep(from *schema.Record, grow bool) *schema.Record {
	size := len(from.Key) + len(from.Value)
	for i := range from.Headers {
		size += len(from.Headers[i].Value)
	}
	r.bytes = piece(r.bytes, size, pieceBytes, grow)
	out := r.refer(from, grow)
	out.Key, out.Value = r.copy(from.Key), r.copy(from.Value)
	for i := range out.Headers {
		out.Headers[i].Value = r.copy(out.Headers[i].Value)
	}
	return out
}

// refer copies the record itself and its list of headers; the bytes of its key, its
// value and its headers stay the caller's.
func (r *room) refer(from *schema.Record, grow bool) *schema.Record {
	r.records = piece(r.records, 1, pieceRecords, grow)
	r.records = append(r.records, *from)
	out := &r.records[len(r.records)-1]
	if n := len(from.Headers); n > 0 {
		r.headers = piece(r.headers, n, pieceHeaders, grow)
		at := len(r.headers)
		r.headers = append(r.headers, from.Headers...)
		out.Headers = r.headers[at : at+n : at+n]
	}
	return out
}

// copy keeps null apart from empty. There is place.
func (r *room) copy(b []byte) []byte {
	if b == nil {
		return nil
	}
	at := len(r.bytes)
	r.bytes = append(r.bytes, b...)
	return r.bytes[at:len(r.bytes):len(r.bytes)]
}

// piece has place for n more.
func piece[T any](at []T, n, least int, grow bool) []T {
	if len(at)+n <= cap(at) && at != nil {
		return at
	}
	if grow {
		least = max(least, 2*cap(at))
	}
	return make([]T, 0, max(n, least))
}
