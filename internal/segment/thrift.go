package segment

import (
	"encoding/binary"

	"github.com/fx-risk-ai/annals/schema"
)

// Types of Thrift's compact protocol, as they stand in field and list headers.
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
	thriftUUID   = 13

	maxThriftDepth = 16
)

// thriftReader walks Thrift's compact protocol without building anything. The
// generated readers allocate what a list's header claims; this one is run over
// the bytes first and refuses a list that claims more elements than bytes are
// left. It also picks the few fields of a page header that must be checked
// before the page is decoded.
type thriftReader struct {
	b []byte
	i int
}

// checkThrift walks one struct at the beginning of b and returns its length.
func checkThrift(b []byte) (int, error) {
	t := thriftReader{b: b}
	if err := t.structure(0, nil); err != nil {
		return 0, err
	}
	return t.i, nil
}

func (t *thriftReader) damaged() error {
	return schema.Errorf(schema.Corrupt, "damaged structure at byte %d of %d", t.i, len(t.b))
}

// structure walks a struct's fields. visit may take a field, having read its
// value, or leave it to be skipped.
func (t *thriftReader) structure(depth int, visit func(id int16, kind byte) (bool, error)) error {
	if depth > maxThriftDepth {
		return t.damaged()
	}
	for id := int16(0); ; {
		head, err := t.byte()
		if err != nil {
			return err
		}
		if head == thriftStop {
			return nil
		}
		kind := head & 0x0f
		if delta := head >> 4; delta != 0 {
			id += int16(delta)
		} else {
			n, err := t.integer()
			if err != nil {
				return err
			}
			id = int16(n)
		}
		if visit != nil {
			taken, err := visit(id, kind)
			if err != nil {
				return err
			}
			if taken {
				continue
			}
		}
		if err := t.skip(kind, depth, false); err != nil {
			return err
		}
	}
}

// skip passes a value. In a list a bool is a byte; in a field it is the type.
func (t *thriftReader) skip(kind byte, depth int, inList bool) error {
	switch kind {
	case thriftTrue, thriftFalse:
		if inList {
			return t.advance(1)
		}
		return nil
	case thriftByte:
		return t.advance(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := t.varint()
		return err
	case thriftDouble:
		return t.advance(8)
	case thriftUUID:
		return t.advance(16)
	case thriftBinary:
		n, err := t.varint()
		if err != nil {
			return err
		}
		return t.advance(n)
	case thriftList, thriftSet:
		return t.list(depth)
	case thriftMap:
		return t.mapping(depth)
	case thriftStruct:
		return t.structure(depth+1, nil)
	default:
		return t.damaged()
	}
}

func (t *thriftReader) list(depth int) error {
	head, err := t.byte()
	if err != nil {
		return err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = t.varint(); err != nil {
			return err
		}
	}
	if depth >= maxThriftDepth || n > uint64(len(t.b)-t.i) {
		return t.damaged()
	}
	for range n {
		if err := t.skip(head&0x0f, depth+1, true); err != nil {
			return err
		}
	}
	return nil
}

func (t *thriftReader) mapping(depth int) error {
	n, err := t.varint()
	if err != nil || n == 0 {
		return err
	}
	kinds, err := t.byte()
	if err != nil {
		return err
	}
	if depth >= maxThriftDepth || n > uint64(len(t.b)-t.i) {
		return t.damaged()
	}
	for range n {
		if err := t.skip(kinds>>4, depth+1, true); err != nil {
			return err
		}
		if err := t.skip(kinds&0x0f, depth+1, true); err != nil {
			return err
		}
	}
	return nil
}

func (t *thriftReader) byte() (byte, error) {
	if t.i >= len(t.b) {
		return 0, t.damaged()
	}
	t.i++
	return t.b[t.i-1], nil
}

func (t *thriftReader) advance(n uint64) error {
	if n > uint64(len(t.b)-t.i) {
		return t.damaged()
	}
	t.i += int(n)
	return nil
}

func (t *thriftReader) varint() (uint64, error) {
	v, n := binary.Uvarint(t.b[t.i:])
	if n <= 0 {
		return 0, t.damaged()
	}
	t.i += n
	return v, nil
}

// integer reads a zigzag number.
func (t *thriftReader) integer() (int64, error) {
	v, err := t.varint()
	return int64(v>>1) ^ -int64(v&1), err
}

// int32Field reads a field that must be an i32.
func (t *thriftReader) int32Field(kind byte, into *int32) error {
	if kind != thriftI32 {
		return t.damaged()
	}
	v, err := t.integer()
	if err != nil {
		return err
	}
	if int64(int32(v)) != v {
		return t.damaged()
	}
	*into = int32(v)
	return nil
}
