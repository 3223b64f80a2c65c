package failure

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

// Bounds of what is shown of a failure, in bytes.
const (
	MaxClass   = 300
	MaxMessage = 2000
)

// HeaderRedriven is how often a record was put back to its original topic, in
// decimal: a redrive counts on from it.
const HeaderRedriven = "annals-redriven"

// Failure is what a record's headers tell of why it is a dead letter.
type Failure struct {
	Dialect Dialect // "": its headers tell nothing
	// Original is where the record stood when it failed first, and Last where it
	// was read when it failed last: another one after retries. nil: not told.
	Original, Last *schema.Coordinates
	Class          string // of the exception, the innermost that is named
	Message        string
	Stage          string // what failed, in the framework's words
	By             string // who gave up: a consumer group or a connector
	Redriven       int    // how often it was put back already
	Back           bool   // it was put back since it failed last
	Problem        string // what the headers say and cannot be read; "": nothing
}

// Of reads a record's headers. Of several headers of a name the last one tells
// what failed, and the first three coordinates where the record came from:
// frameworks add to what is there.
func Of(r *schema.Record) Failure {
	var f Failure
	own := lastDialect(r.Headers)
	var topics, partitions, offsets [][]byte
	inner := ""
	for i := range r.Headers {
		h := &r.Headers[i]
		if strings.EqualFold(h.Name, HeaderRedriven) {
			f.count(h.Value)
			f.Back = true
			continue
		}
		m, ok := meaningOf(h.Name)
		if !ok || m.dialect != own {
			continue
		}
		f.Back = false
		switch m.part {
		case topicPart:
			topics = append(topics, h.Value)
		case partitionPart:
			partitions = append(partitions, h.Value)
		case offsetPart:
			offsets = append(offsets, h.Value)
		case class:
			f.Class, inner = text(h.Value, MaxClass), ""
		case cause:
			inner = text(h.Value, MaxClass)
		case message:
			f.Message = text(h.Value, MaxMessage)
		case stage:
			f.Stage = text(h.Value, MaxClass)
		case by:
			f.By = text(h.Value, MaxClass)
		case keyClass:
			f.Class, f.Stage = text(h.Value, MaxClass), "key deserialization"
		case keyMessage:
			f.Message = text(h.Value, MaxMessage)
		}
	}
	if inner != "" {
		f.Class = inner
	}
	f.Dialect = own
	f.place(topics, partitions, offsets)
	return f
}

// lastDialect is the framework that wrote last: a record may have failed in one,
// been put back, and failed in another.
func lastDialect(list []schema.Header) Dialect {
	for i := len(list) - 1; i >= 0; i-- {
		if m, ok := meaningOf(list[i].Name); ok {
			return m.dialect
		}
	}
	return ""
}

// place takes the coordinates, if there are as many of each part.
func (f *Failure) place(topics, partitions, offsets [][]byte) {
	switch n := len(topics); {
	case f.Dialect == "":
		return
	case n == 0:
		f.Problem = "no header names the original topic"
		return
	case len(partitions) != n || len(offsets) != n:
		f.Problem = fmt.Sprintf("there are %d topics, %d partitions and %d offsets: which belong together cannot be told", n, len(partitions), len(offsets))
		return
	}
	at := func(i int) *schema.Coordinates {
		partition, ok1 := extract.CoordinateNumber(partitions[i], math.MaxInt32)
		offset, ok2 := extract.CoordinateNumber(offsets[i], math.MaxInt64)
		if !ok1 || !ok2 || !schema.LikeTopicName(topics[i]) {
			f.Problem = "the original's topic, partition or offset cannot be read"
			return nil
		}
		return &schema.Coordinates{Topic: string(topics[i]), Partition: int32(partition), Offset: offset}
	}
	f.Original, f.Last = at(0), at(len(topics)-1)
}

// count reads HeaderRedriven. What cannot be read counts as very often, so that a
// loop is not begun anew by a damaged counter.
func (f *Failure) count(value []byte) {
	n, err := strconv.ParseUint(string(value), 10, 31)
	if err != nil {
		n = math.MaxInt32
	}
	f.Redriven = max(f.Redriven, int(n))
}

// text is a header's value for people, cut at a rune.
func text(value []byte, limit int) string {
	s := strings.ToValidUTF8(string(value[:min(len(value), limit+utf8.UTFMax)]), "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
