package index

import (
	"fmt"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// Period is the width of a table partition. It is chosen when the tables are
// created and never changes: a row's partition must be a pure function of the
// record, or a copy that was indexed again would not meet the first one.
type Period string

// The periods. A look-up opens every partition, so a history of decades wants
// years.
const (
	Months Period = "months"
	Years  Period = "years"
)

// Record times outside these years, which producers do send, share partition
// 0: they must not be able to make partitions at will.
const (
	firstYear = 1990
	lastYear  = 2040
)

var (
	firstMilli = time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	endMilli   = time.Date(lastYear+1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
)

func parsePeriod(text string) (Period, error) {
	switch p := Period(text); p {
	case Months, Years:
		return p, nil
	case "":
		return Months, nil
	default:
		return "", schema.Errorf(schema.Invalid, "open index: partition %q: want months or years", text)
	}
}

// of gives the partition of a record time in milliseconds since the Unix
// epoch. It agrees with expression.
func (p Period) of(timestamp int64) uint32 {
	if timestamp < firstMilli || timestamp >= endMilli {
		return 0
	}
	at := time.UnixMilli(timestamp).UTC()
	if p == Years {
		return uint32(at.Year())
	}
	return uint32(at.Year()*100 + int(at.Month()))
}

// expression is the PARTITION BY clause over the column timestamp. It agrees
// with of.
func (p Period) expression() string {
	if p == Years {
		return partitionBy("toYear({at})")
	}
	return partitionBy("toYYYYMM({at})")
}

// byTrace is the PARTITION BY clause of records_by_trace. Who looks a trace up
// does not know its time, and opens every partition: years become five years
// there. Months stay months, for a partition is what the retention drops.
func (p Period) byTrace() string {
	if p == Years {
		return partitionBy("5 * intDiv(toYear({at}), 5)")
	}
	return p.expression()
}

// partitionBy writes the clause from an expression over the record time {at}.
func partitionBy(expression string) string {
	expression = strings.Replace(expression, "{at}", "fromUnixTimestamp64Milli(timestamp, 'UTC')", 1)
	return fmt.Sprintf("if(timestamp >= %d AND timestamp < %d, toUInt32(%s), toUInt32(0))", firstMilli, endMilli, expression)
}

// expiry is the TTL expression over the column timestamp, and empty when rows
// stay for ever. Rows whose time cannot be believed (partition 0) stay: when
// they came is not a function of the record.
func expiry(retention time.Duration) string {
	if retention == 0 {
		return ""
	}
	seconds := int64(retention / time.Second)
	const latest = 1<<32 - 1 // what DateTime can hold
	return fmt.Sprintf("toDateTime(if(timestamp >= %d AND timestamp < %d, intDiv(timestamp, 1000), %d)) + toIntervalSecond(%d)",
		firstMilli, endMilli, latest-seconds, seconds)
}
