package extract

import (
	"bytes"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// reading is what the names and values of one record have said so far. Values
// are slices of the record; they become strings when the reading is finished.
type reading struct {
	into *schema.Extraction

	fields  [eventStage + 1]best // by field: the single-valued ones
	time    int64                // microseconds, of fields[eventTime]
	stage   schema.Stage         // of fields[eventStage]
	hops    []hop                // every trace and span id, in the record's order
	b3      hop                  // B3 multi, gathered from three headers
	datadog datadogHop           // gathered from three headers, too
	parts   []coordinatePart
	axon    [][]byte // axonCorrelation
	events  [][]byte // causes by event id
	parents [][]byte // causes by span id
	found   []finding
	indexes []byte                    // of valueSchema, what follows the id
	guid    [16]byte                  // of valueSchema
	text    []byte                    // of finishCauses
	seen    map[schema.Cause]struct{} // by causeSet, where there are many
	paths   policy.Paths              // of personal data in the payload: not read
	decoded []byte                    // the payload as JSON text, where it was made of another form

	axonTraced bool // Axon up to 4: the trace id is the flow
	replayed   bool
	structured bool // content-type says a CloudEvent in structured mode
	saysJSON   bool // content-type says JSON
	unframed   bool // a header holds the schema id, so the value has no frame
}

// best is the value of a field that leads so far.
type best struct {
	value []byte
	rank  uint8
	set   bool
}

// offer lets a value compete; the loser is returned, nil if there is none.
func (b *best) offer(value []byte, rank uint8) (loser []byte, won bool) {
	if b.set && rank > b.rank {
		return value, false
	}
	loser = b.value
	*b = best{value: value, rank: rank, set: true}
	return loser, true
}

// reset empties the reading, so that it holds on to no record, and keeps its
// memory unless a record made it large.
func (r *reading) reset() {
	const keep = 256
	clear(r.hops)
	clear(r.parts)
	clear(r.axon)
	clear(r.events)
	clear(r.parents)
	clear(r.found)
	clear(r.seen)
	empty := reading{hops: r.hops[:0], parts: r.parts[:0], axon: r.axon[:0], events: r.events[:0], parents: r.parents[:0], found: r.found[:0], text: r.text[:0], seen: r.seen}
	if cap(r.hops)+cap(r.parts)+cap(r.axon)+cap(r.events)+cap(r.parents)+cap(r.found)+len(r.into.Causes) > keep || cap(r.text) > keep*MaxIDBytes {
		empty = reading{}
	}
	*r = empty
}

// take notes what a name with this meaning says. The rank of the meaning is
// what decides between several. An empty value says nothing.
func (r *reading) take(m meaning, value []byte) {
	if len(value) == 0 {
		return
	}
	switch m.field {
	case eventID:
		if value, ok := r.checked(m.field, unquoted(value)); ok {
			if loser, _ := r.fields[eventID].offer(value, m.rank); loser != nil {
				r.identify(schema.IDAlias, string(loser))
			}
		}
	case eventType, eventVersion, sourceService:
		if value, ok := r.checked(m.field, bytes.TrimSpace(unquoted(value))); ok {
			r.fields[m.field].offer(value, m.rank)
		}
	case eventTime:
		r.takeTime(m, value)
	case eventStage:
		r.takeStage(m, value)
	case traceID, spanID, parentSpan, traceparent, originTraceparent, b3, b3Trace, b3Span, b3Parent,
		jaeger, datadogTrace, datadogSpan, datadogTags, amazonTrace, skyWalking:
		r.takeTrace(m, value)
	case causation:
		r.takeCause(unquoted(value))
	case causationList:
		r.takeCauseList(value)
	case correlation:
		r.takeCorrelation(unquoted(value))
	case axonCorrelation:
		r.takeAxonCorrelation(value)
	case sourceRecord, lineageRecord, springOriginal, springRetry, binderOriginal, connectOriginal, streamsOriginal, replayOriginal:
		r.takePart(m, value)
	case replayJob:
		r.replayed = true
	case contentType:
		r.takeContentType(value)
	case valueSchema:
		r.takeSchemaID(value)
	}
}

func (r *reading) takeTime(m meaning, value []byte) {
	micros, problem := parseTime(bytes.TrimSpace(unquoted(value)))
	if problem != "" {
		addError(r.into, problem)
		return
	}
	if _, won := r.fields[eventTime].offer(value, m.rank); won {
		r.time = micros
	}
}

// A name that speaks of nothing else must say a stage; "stage" alone is a word
// that business objects use, too.
func (r *reading) takeStage(m meaning, value []byte) {
	value = bytes.TrimSpace(unquoted(value))
	stage, ok := schema.Stage(0), false
	if len(value) <= 32 {
		stage, ok = schema.ParseStage(string(value))
	}
	switch {
	case !ok && m.rank%rankStep < 5:
		addError(r.into, StageUnknownToRules)
	case ok:
		if _, won := r.fields[eventStage].offer(value, m.rank); won {
			r.stage = stage
		}
	}
}

func (r *reading) takeCause(value []byte) {
	if value, ok := r.checked(causation, value); ok {
		if len(r.events) >= MaxCauses {
			addError(r.into, CausesTruncated)
			return
		}
		r.events = append(r.events, value)
	}
}

// takeCauseList reads a header that holds several ids: a JSON array of
// strings, or ids between commas.
func (r *reading) takeCauseList(value []byte) {
	value = bytes.TrimSpace(value)
	if len(value) > 0 && value[0] == '[' {
		s := scanner{data: value}
		if !s.elements(r.takeCause) || !s.end() {
			addError(r.into, fieldSubjects[causationList]+malformed)
		}
		return
	}
	for id := range bytes.SplitSeq(value, []byte{','}) {
		if id = bytes.TrimSpace(id); len(id) > 0 {
			r.takeCause(id)
		}
	}
}

// takeAxonCorrelation keeps the value until it is known what it means: beside
// a trace id, as Axon 3 and 4 write one, it is the id of the direct cause;
// without one, as in Axon 5, it is the flow's.
func (r *reading) takeAxonCorrelation(value []byte) {
	if value, ok := r.checked(axonCorrelation, value); ok {
		if len(r.axon) >= MaxCauses {
			addError(r.into, CausesTruncated)
			return
		}
		r.axon = append(r.axon, value)
	}
}

func (r *reading) finishAxon() {
	for _, value := range r.axon {
		if r.axonTraced {
			r.takeCause(value)
		} else {
			r.takeCorrelation(value)
		}
	}
}

// takeCorrelation accepts the 16 bytes of a UUID, too, as Spring's request and
// reply headers carry them.
func (r *reading) takeCorrelation(value []byte) {
	if len(value) == 16 && !printable(value) {
		r.identify(schema.IDCorrelation, uuidText(value))
		return
	}
	if value, ok := r.checked(correlation, value); ok {
		r.identify(schema.IDCorrelation, string(value))
	}
}

func (r *reading) takeContentType(value []byte) {
	kind, _, _ := bytes.Cut(value, []byte{';'})
	kind = bytes.ToLower(bytes.TrimSpace(unquoted(kind)))
	r.structured = string(kind) == "application/cloudevents+json"
	r.saysJSON = string(kind) == "application/json" || bytes.HasSuffix(kind, []byte("+json"))
}

// identify keeps another id of the record, once.
func (r *reading) identify(kind schema.IDKind, id string) {
	identifier := schema.Identifier{Kind: kind, ID: id}
	if slices.Contains(r.into.Identifiers, identifier) {
		return
	}
	if len(r.into.Identifiers) >= MaxIdentifiers {
		addError(r.into, IdentifiersCut)
		return
	}
	r.into.Identifiers = append(r.into.Identifiers, identifier)
}

// identifyText keeps what policy has indexed, where it can be an id. What cannot
// is no mistake of the producer's: keys may be anything.
func (r *reading) identifyText(kind schema.IDKind, value []byte) {
	if len(bytes.TrimSpace(value)) > 0 && len(value) <= MaxIDBytes && printable(value) {
		r.identify(kind, string(value))
	}
}

// complete tells that the payload has nothing to add: every contract field is
// there, and a cause.
func (r *reading) complete() bool {
	for f := eventID; f <= eventTime; f++ {
		if !r.fields[f].set {
			return false
		}
	}
	return r.hasTrace() && (len(r.events) > 0 || len(r.parents) > 0 || len(r.parts) > 0 || len(r.axon) > 0)
}

// finish turns the reading into the extraction.
func (r *reading) finish() {
	into := r.into
	into.EventID = string(r.fields[eventID].value)
	into.EventType = string(r.fields[eventType].value)
	into.EventVersion = string(r.fields[eventVersion].value)
	into.SourceService = string(r.fields[sourceService].value)
	into.EventTime, into.HasEventTime = r.time, r.fields[eventTime].set
	into.Stage = r.stage
	if len(r.axon) > 0 {
		r.finishAxon()
	}
	r.finishTrace()
	r.finishCauses()
	into.Identifiers = slices.DeleteFunc(into.Identifiers, func(id schema.Identifier) bool {
		switch id.Kind {
		case schema.IDAlias:
			return id.ID == into.EventID || id.ID == into.TraceID
		case schema.RefTrace:
			return id.ID == into.TraceID
		case schema.RefSpan:
			return id.ID == into.SpanID
		}
		return false
	})
}

// finishCauses lists the declared parents: events, spans, inputs, originals.
func (r *reading) finishCauses() {
	seen := causeSet{into: r.into, many: r.seen}
	// One text for the ids of all events, of which each is a part: as many small
	// ones were most of what a record with many parents allocates.
	r.text = r.text[:0]
	for _, id := range r.events {
		r.text = append(r.text, id...)
	}
	all, from := string(r.text), 0
	for _, id := range r.events {
		seen.add(schema.Cause{Kind: schema.CauseEvent, ID: all[from : from+len(id)]})
		from += len(id)
	}
	for _, id := range r.parents {
		if span, ok := spanText(id); ok {
			seen.add(schema.Cause{Kind: schema.CauseSpan, ID: span})
		}
	}
	if len(r.parts) > 0 {
		r.finishCoordinates(&seen)
	}
	r.seen = seen.many
	if r.replayed {
		r.into.Stage = schema.StageReplay
	}
}

// causeSet adds causes without duplicates, by a map once there are many.
type causeSet struct {
	into *schema.Extraction
	many map[schema.Cause]struct{}
}

func (s *causeSet) add(cause schema.Cause) {
	const few = 48
	causes := s.into.Causes
	if len(causes) < few {
		if slices.Contains(causes, cause) {
			return
		}
	} else {
		if s.many == nil {
			s.many = make(map[schema.Cause]struct{}, 4*few)
		}
		if len(s.many) == 0 {
			for _, c := range causes {
				s.many[c] = struct{}{}
			}
		}
		if _, ok := s.many[cause]; ok {
			return
		}
		s.many[cause] = struct{}{}
	}
	if len(causes) >= MaxCauses {
		addError(s.into, CausesTruncated)
		return
	}
	s.into.Causes = append(causes, cause)
}

// checked tells that a text can stand as an id or a name, and notes why not.
// White space alone says nothing.
func (r *reading) checked(f field, value []byte) ([]byte, bool) {
	switch {
	case len(bytes.TrimSpace(value)) == 0:
		return nil, false
	case len(value) > MaxIDBytes:
		addError(r.into, fieldSubjects[f]+tooLong)
		return nil, false
	case !printable(value):
		addError(r.into, fieldSubjects[f]+notPrintable)
		return nil, false
	}
	return value, true
}

// printable tells valid UTF-8 without control characters.
func printable(value []byte) bool {
	for i, c := range value {
		if c >= utf8.RuneSelf {
			return printableRunes(value[i:])
		}
		if c < 0x20 || c == 0x7f {
			return false
		}
	}
	return true
}

func printableRunes(value []byte) bool {
	for len(value) > 0 {
		c, size := utf8.DecodeRune(value)
		if c == utf8.RuneError && size == 1 || !unicode.IsGraphic(c) {
			return false
		}
		value = value[size:]
	}
	return true
}

// unquoted strips the quotes that JSON header converters leave around a text.
func unquoted(value []byte) []byte {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		return value[1 : n-1]
	}
	return value
}
