package segment

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/fx-risk-ai/annals/schema"
)

// These checks stand between hostile bytes and a library that believes them;
// whole files that reach them cannot be made with honest writers, so they are
// tried on their own.

func compressed(t *testing.T, b []byte, options ...zstd.EOption) []byte {
	t.Helper()
	encoder, err := zstd.NewWriter(nil, append(options, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	return encoder.EncodeAll(b, nil)
}

// streamed compresses without declaring the content's size.
func streamed(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	encoder, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := encoder.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := encoder.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCheckFrame(t *testing.T) {
	zeros := make([]byte, 1<<20)
	good := compressed(t, zeros)
	for name, c := range map[string]struct {
		frame   []byte
		content int
		ok      bool
	}{
		"one frame":               {good, len(zeros), true},
		"without a checksum":      {compressed(t, zeros, zstd.WithEncoderCRC(false)), len(zeros), true},
		"a few bytes":             {compressed(t, []byte("few")), 3, true},
		"nothing":                 {compressed(t, nil, zstd.WithZeroFrames(true)), 0, true},
		"incompressible":          {compressed(t, good), len(good), true},
		"more than is declared":   {good, len(zeros) - 1, false},
		"a second frame":          {append(bytes.Clone(good), good...), len(zeros), false},
		"bytes after the frame":   {append(bytes.Clone(good), 0), len(zeros), false},
		"cut":                     {good[:len(good)-1], len(zeros), false},
		"no size declared":        {streamed(t, zeros), len(zeros), false},
		"no size declared, small": {streamed(t, zeros), 200, false},
		"a skippable frame":       {[]byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7}, 1, false},
		"no frame":                {[]byte("PAR1"), 4, false},
		"no bytes":                {nil, 0, false},
	} {
		if err := checkFrame(c.frame, c.content); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		} else if err != nil && schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: kind %s", name, schema.KindOf(err))
		}
	}
}

func TestCheckDelta(t *testing.T) {
	check, err := newPageCheck()
	if err != nil {
		t.Fatal(err)
	}
	defer check.decoder.Close()
	header := func(numbers ...uint64) []byte {
		var b []byte
		for _, n := range numbers {
			b = binary.AppendUvarint(b, n)
		}
		return b
	}
	for name, c := range map[string]struct {
		page     []byte
		optional bool
		ok       bool
	}{
		"as written":             {header(128, 4, 10, 0), false, true},
		"levels before":          {append([]byte{2, 0, 0, 0, 20, 1}, header(128, 4, 10, 0)...), true, true},
		"a block of gigabytes":   {header(1<<31, 1, 10, 0), false, false},
		"a miniblock of a block": {header(128, 1, 10, 0), false, false},
		"more values than rows":  {header(128, 4, 11, 0), false, false},
		"levels beyond the page": {append([]byte{255, 255, 255, 255}, header(128, 4, 10, 0)...), true, false},
		"cut":                    {header(128, 4), false, false},
	} {
		body := compressed(t, c.page)
		h := pageHeader{uncompressed: int32(len(c.page)), values: 10}
		if err := check.delta(body, &h, c.optional); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	bomb := pageHeader{uncompressed: 100, values: 10}
	if err := check.delta(compressed(t, make([]byte, 1<<24)), &bomb, false); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("a page larger than it says: %v", err)
	}
}

func TestCheckThrift(t *testing.T) {
	for name, c := range map[string]struct {
		bytes []byte
		ok    bool
	}{
		"an empty struct":            {[]byte{0}, true},
		"an i32":                     {[]byte{0x15, 0x02, 0}, true},
		"a list of two bytes":        {[]byte{0x19, 0x23, 1, 2, 0}, true},
		"a map of one":               {[]byte{0x1b, 1, 0x33, 1, 2, 0}, true},
		"a long field id":            {[]byte{0x05, 0x28, 0x02, 0}, true},
		"no end":                     {[]byte{0x15, 0x02}, false},
		"a list of 2^28 structs":     {[]byte{0x19, 0xfc, 0x80, 0x80, 0x80, 0x80, 0x01, 0}, false},
		"a map of 2^28":              {[]byte{0x1b, 0x80, 0x80, 0x80, 0x80, 0x01, 0x33, 1, 2, 0}, false},
		"a text longer than the end": {[]byte{0x18, 0x7f, 'x', 0}, false},
		"a number without end":       {bytes.Repeat([]byte{0xff}, 20), false},
		"a type that is none":        {[]byte{0x1f, 0}, false},
		"structs within structs":     {bytes.Repeat([]byte{0x1c}, 100), false},
		"lists within lists":         {bytes.Repeat([]byte{0x19}, 100), false},
		"nothing":                    {nil, false},
	} {
		n, err := checkThrift(c.bytes)
		if (err == nil) != c.ok || c.ok && n != len(c.bytes) {
			t.Errorf("%s: walked %d of %d bytes, %v", name, n, len(c.bytes), err)
		}
	}
}

func TestCoalesce(t *testing.T) {
	got := coalesce([]span{{500, 600}, {0, 10}, {15, 20}, {590, 595}, {31, 40}}, 10)
	want := []span{{0, 20}, {31, 40}, {500, 600}}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%v", got)
		}
	}
}
