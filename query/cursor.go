package query

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// A cursor is a place in the order of one search: version, a hash of the
// filter, the moment when the first page was asked for, and the mark of the last
// hit given. It holds nothing that its owner did not see.
const (
	cursorVersion = 2
	cursorBytes   = 1 + 8 + 8 + 8 + 16 + 4 + 4 + 8
)

// place is where a page ended, and as of when ages are counted.
type place struct {
	asked time.Time
	mark  index.Mark
}

func encodeCursor(filter uint64, at place) string {
	m := at.mark
	b := make([]byte, 0, cursorBytes)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint64(b, filter)
	b = binary.BigEndian.AppendUint64(b, uint64(at.asked.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Timestamp))
	b = append(b, m.TopicID[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(m.Partition))
	b = binary.BigEndian.AppendUint32(b, uint32(m.Branch))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Offset))
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodeCursor reads what encodeCursor wrote for the same filter.
func decodeCursor(text string, filter uint64) (*place, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no cursor is the first page
	}
	var b []byte
	if len(text) == base64.RawURLEncoding.EncodedLen(cursorBytes) {
		decoded, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if err == nil {
			b = decoded
		}
	}
	if len(b) != cursorBytes || b[0] != cursorVersion {
		return nil, badCursor(text)
	}
	if binary.BigEndian.Uint64(b[1:]) != filter {
		return nil, schema.InvalidField("cursor", "cursor: it belongs to a search with another filter; begin again without it")
	}
	at := &place{asked: time.Unix(0, int64(binary.BigEndian.Uint64(b[9:])))}
	m := &at.mark
	m.Timestamp = int64(binary.BigEndian.Uint64(b[17:]))
	copy(m.TopicID[:], b[25:])
	m.Partition = int32(binary.BigEndian.Uint32(b[41:]))
	m.Branch = int32(binary.BigEndian.Uint32(b[45:]))
	m.Offset = int64(binary.BigEndian.Uint64(b[49:]))
	return at, nil
}

// badCursor is the error of what no list of this version gave.
func badCursor(text string) error {
	return schema.InvalidField("cursor", "cursor %.80q: not one that this version gave; begin again without it", text)
}

// bound puts the usual limit of a page where none was asked for, and refuses one
// that is none.
func bound(limit *int, usual, most int) error {
	if *limit == 0 {
		*limit = usual
	}
	if *limit < 1 || *limit > most {
		return schema.InvalidField("limit", "limit %d: want 1 to %d", *limit, most)
	}
	return nil
}
