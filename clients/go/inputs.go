package annals

import (
	"bytes"

	"github.com/twmb/franz-go/pkg/kgo"
)

// written are the folded names that To writes, and the other spellings by which
// Annals would read the same before them or beside them.
var written = func() map[string]bool {
	names := map[string]bool{}
	for _, name := range []string{
		HeaderEventID, HeaderEventType, HeaderEventVersion, HeaderSourceService, HeaderTraceID, HeaderTimestamp,
		HeaderStage, HeaderCausationID, HeaderSourceTopic, HeaderSourcePartition, HeaderSourceOffset,
		"x-event-id", "x-event-type", "x-event-version", "event-type-version", "x-source-service", "x-trace-id",
		"event-timestamp", "lineage-stage", "event-stage", "x-causation-id",
		"parent-event-id", "x-parent-event-id", "causation-ids", "parent-event-ids",
	} {
		names[fold(name)] = true
	}
	return names
}()

// causeNames are other names under which a record may name its cause.
var causeNames = map[string]bool{
	"cecausationid": true, "axonmetadatacausationid": true, "nservicebusrelatedto": true, "initiatorid": true,
}

// serviceNames and timeNames are those by which Annals knows a service and a
// time.
var (
	serviceNames = map[string]bool{
		"sourceservice": true, "xsourceservice": true, "cesourceservice": true, "cesource": true, "servicename": true,
		"service": true, "producer": true, "source": true, "nservicebusoriginatingendpoint": true,
	}
	timeNames = map[string]bool{
		"eventtimestamp": true, "timestamp": true, "eventtime": true, "occurredat": true, "time": true, "cetime": true,
	}
)

// eventNames are the headers by which Annals knows a record's event id, folded;
// the smallest rank wins, and of equals the last.
var eventNames = map[string]int{
	"eventid": 1, "xeventid": 1,
	"ceeventid": 2,
	"ceid":      3,
	"messageid": 4, "xmessageid": 4, "axonmessageid": 4, "nservicebusmessageid": 4,
	"id": 5,
}

// eventID finds a record's event id as it stands in its headers, nil if they
// have none that Annals takes.
func eventID(headers []kgo.RecordHeader) (id []byte) {
	best := 6
	for _, h := range headers {
		rank, ok := eventNames[fold(h.Key)]
		if ok && rank <= best && printable(unquoted(h.Value)) {
			best, id = rank, h.Value
		}
	}
	return id
}

// traceID is that of the first input that has one.
func (inputs Inputs) traceID() []byte {
	for _, in := range inputs {
		if id := traceOf(in); id != nil {
			return id
		}
	}
	return nil
}

// traceOf finds an input's own trace id: the contract's, or else that of the
// last traceparent, since an earlier one was forwarded.
func traceOf(in *kgo.Record) []byte {
	var contract, parent []byte
	for _, h := range read(in) {
		value := bytes.TrimSpace(unquoted(h.Value))
		switch fold(h.Key) {
		case "traceid", "xtraceid":
			if printable(value) && !isZero(string(value)) {
				contract = h.Value // as it stands: it is read the same way again
			}
		case "traceparent":
			if id := traceparent(value); id != nil {
				parent = id
			}
		}
	}
	if contract != nil {
		return contract
	}
	return parent
}

// traceparent gives the trace id of version-trace-parent-flags (W3C Trace
// Context), nil if it is malformed.
func traceparent(value []byte) []byte {
	const length = 55
	if len(value) < length || value[2] != '-' || value[35] != '-' || value[52] != '-' {
		return nil
	}
	version, trace, span, flags := value[:2], value[3:35], value[36:52], value[53:55]
	for _, part := range [][]byte{version, trace, span, flags} {
		if len(bytes.Trim(part, "0123456789abcdefABCDEF")) > 0 {
			return nil
		}
	}
	later := len(value) > length
	if string(version) == "ff" || string(version) == "FF" || isZero(string(trace)) || isZero(string(span)) ||
		later && (string(version) == "00" || value[length] != '-') {
		return nil
	}
	return trace
}

// read are the headers that Annals reads of a record.
func read(in *kgo.Record) []kgo.RecordHeader { return in.Headers[:min(len(in.Headers), MaxHeaders)] }

// isZero tells the ids that tracers use for "none".
func isZero(id string) bool {
	for i := range len(id) {
		if id[i] != '0' && id[i] != '-' {
			return false
		}
	}
	return true
}

// fold writes a name as Annals compares it: in lower case, without '-', '_' and
// '.'. A name of more than 64 bytes plays no role.
func fold(name string) string {
	if len(name) > 64 {
		return ""
	}
	folded := make([]byte, 0, 64)
	for i := range len(name) {
		switch c := name[i]; {
		case c == '-', c == '_', c == '.':
		case 'A' <= c && c <= 'Z':
			folded = append(folded, c|0x20)
		default:
			folded = append(folded, c)
		}
	}
	return string(folded)
}

// unquoted strips the quotes that JSON header converters leave around a text.
func unquoted(value []byte) []byte {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		return value[1 : n-1]
	}
	return value
}
