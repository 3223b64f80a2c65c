package segment

import (
	"context"
	"fmt"
	"slices"

	"github.com/fx-risk-ai/annals/schema"
)

// scan decodes rows of one row group after another. It is for one goroutine.
type scan struct {
	reader  *Reader
	columns Columns
	check   *pageCheck
	kept    *Kept // nil: a row is valid until the next one
	err     error

	int64s [numColumns]*cursor[int64]
	int32s [numColumns]*cursor[int32]
	texts  [numColumns]*textCursor

	left   int64 // rows of the range that the offset column has not passed
	lag    int64 // rows by which the other columns are behind it
	peeked bool  // row.Offset is of a row not decoded yet

	row           Row
	headers       []schema.Header
	causes        []schema.Cause
	errors        []string
	names         map[string]string // of headers: few, so one string each
	status        schema.Status
	statusText    string
	timestampType schema.TimestampType
	typeText      string
	stage         schema.Stage
	stageText     string
}

// keptNames bounds how many header names a scan remembers.
const keptNames = 1024

func (r *Reader) newScan(columns Columns) (*scan, error) {
	check, err := newPageCheck()
	if err != nil {
		return nil, err
	}
	s := &scan{reader: r, columns: columns, check: check, names: make(map[string]string)}
	f := &r.footer
	s.row.Topic, s.row.TopicID = f.Stream.Topic, f.Stream.TopicID
	s.row.Partition, s.row.Branch = f.Stream.Partition, f.Branch
	s.row.Offset = f.FirstOffset - 1
	return s, nil
}

// plannedChunk is what will be read of one column chunk.
type plannedChunk struct {
	column     int
	dictionary span // empty: none
	pages      []pageSpot
	first      int // ordinal of the first page in its chunk
}

// rowRange is rows of one row group, end exclusive.
type rowRange struct{ from, to int64 }

// fetchedGroup is the bytes of some ranges of rows of one row group.
type fetchedGroup struct {
	ordinal int
	window  *window
	plans   [][]plannedChunk // for each range
}

// fetch reads, in one round, what the chosen columns need of some ranges of
// rows of a row group.
func (s *scan) fetch(ctx context.Context, g int, ranges []rowRange) (_ *fetchedGroup, err error) {
	defer recoverCorrupt(&err)
	arrow, err := s.reader.arrow(s.reader.tail)
	if err != nil {
		return nil, err
	}
	index, err := arrow.GetPageIndexReader().RowGroup(g)
	if err != nil || index == nil {
		return nil, schema.Errorf(schema.Corrupt, "no page index: %w", err)
	}
	out := &fetchedGroup{ordinal: g, plans: make([][]plannedChunk, len(ranges))}
	var spans []span
	for c := range numColumns {
		if group := s.reader.columns[c].group; group != always && group&s.columns == 0 {
			continue
		}
		spots, err := s.reader.pageSpots(index, g, c)
		if err != nil {
			return nil, err
		}
		for i, rows := range ranges {
			p, err := s.plan(spots, g, c, rows)
			if err != nil {
				return nil, err
			}
			out.plans[i] = append(out.plans[i], p)
			spans = append(spans, p.spans()...)
		}
	}
	ahead := s.reader.ahead.Load()
	if ahead != nil {
		spans = slices.DeleteFunc(spans, ahead.has)
	}
	if out.window, err = fetch(ctx, s.reader.source, spans); err != nil {
		return nil, err
	}
	if ahead != nil {
		out.window.add(ahead)
	}
	// arrow seeks by the page index, so it must find that too.
	out.window.add(s.reader.tail)
	return out, nil
}

func (s *scan) plan(spots []pageSpot, g, c int, rows rowRange) (plannedChunk, error) {
	meta, err := s.reader.chunk(g, c)
	if err != nil {
		return plannedChunk{}, err
	}
	p := plannedChunk{column: c}
	if meta.HasDictionaryPage() {
		p.dictionary = span{meta.DictionaryPageOffset(), meta.DataPageOffset()}
		if p.dictionary.bytes() < 1 || p.dictionary.bytes() > maxPage {
			return p, schema.Errorf(schema.Corrupt, "column %s: a dictionary of %d bytes", s.reader.columns[c].path, p.dictionary.bytes())
		}
	}
	for i, spot := range spots {
		if spot.firstRow >= rows.to || spot.firstRow+spot.rows <= rows.from {
			continue
		}
		if len(p.pages) == 0 {
			p.first = i
		}
		p.pages = append(p.pages, spot)
	}
	if len(p.pages) == 0 {
		return p, schema.Errorf(schema.Corrupt, "column %s: no page for rows %d–%d", s.reader.columns[c].path, rows.from, rows.to)
	}
	return p, nil
}

func (p *plannedChunk) spans() []span {
	spans := []span{{p.pages[0].start, p.pages[len(p.pages)-1].end}}
	if p.dictionary.bytes() > 0 {
		spans = append(spans, p.dictionary)
	}
	return spans
}

// begin vets the fetched pages of one range and sets the cursors on its first
// row.
func (s *scan) begin(f *fetchedGroup, plans []plannedChunk, rows rowRange) (err error) {
	defer recoverCorrupt(&err)
	s.left, s.lag, s.peeked = rows.to-rows.from, 0, false
	arrow, err := s.reader.arrow(f.window)
	if err != nil {
		return err
	}
	group := arrow.RowGroup(f.ordinal)
	for i := range plans {
		p := &plans[i]
		column := &s.reader.columns[p.column]
		pages, raw, err := s.vet(f.window, p)
		if err != nil {
			return fmt.Errorf("column %s: %w", column.path, err)
		}
		skip := rows.from - p.pages[0].firstRow
		if column.isBytes {
			if err := s.setTexts(p.column, pages, raw, skip); err != nil {
				return fmt.Errorf("column %s: %w", column.path, err)
			}
			continue
		}
		chunk, err := group.Column(p.column)
		if err == nil && p.first > 0 {
			err = chunk.SeekToRow(p.pages[0].firstRow)
		}
		if err != nil {
			return schema.Errorf(schema.Corrupt, "column %s: %w", column.path, err)
		}
		s.set(p.column, chunk, pages, skip)
		if s.err != nil {
			return s.err
		}
	}
	return nil
}

// vetted are the pages of one chunk.
type vetted struct {
	dictionary *rawPage // nil: none
	pages      []rawPage
}

func (s *scan) vet(w *window, p *plannedChunk) (pages []chunkPage, raw vetted, err error) {
	column := &s.reader.columns[p.column]
	if p.dictionary.bytes() > 0 {
		b, err := w.slice(p.dictionary)
		if err != nil {
			return nil, raw, err
		}
		dictionary, err := s.check.page(b, dictionaryPage, column, 0)
		if err != nil {
			return nil, raw, err
		}
		raw.dictionary = &dictionary
	}
	pages, raw.pages = make([]chunkPage, len(p.pages)), make([]rawPage, len(p.pages))
	for i, spot := range p.pages {
		b, err := w.slice(spot.span)
		if err != nil {
			return nil, raw, err
		}
		if raw.pages[i], err = s.check.page(b, dataPage, column, spot.rows); err != nil {
			return nil, raw, err
		}
		pages[i] = chunkPage{rows: spot.rows, levels: raw.pages[i].levels}
	}
	return pages, raw, nil
}

// end lets go of the pages that are kept.
func (s *scan) end() {
	for _, cursor := range s.texts {
		if cursor != nil {
			cursor.from.retire()
		}
	}
	s.check.decoder.Close()
}

// setTexts sets the cursor of a column of texts or bytes.
func (s *scan) setTexts(c int, pages []chunkPage, raw vetted, skip int64) error {
	cursor := s.texts[c]
	if cursor == nil {
		cursor = &textCursor{from: bytePages{decoder: s.check.decoder}}
		if c == colKey || c == colValue || c == colHeaderValue { // which have no dictionary: all they refer to is in pages
			cursor.from.keep = s.kept
		}
		s.texts[c] = cursor
	}
	if err := cursor.from.begin(&s.reader.columns[c], raw.dictionary, raw.pages); err != nil {
		return err
	}
	cursor.set(cursor.from.read, &s.reader.columns[c], pages, &s.err)
	cursor.skip(skip)
	return s.err
}

func (s *scan) set(c int, chunk any, pages []chunkPage, skip int64) {
	column := &s.reader.columns[c]
	switch reader := chunk.(type) {
	case batchReader[int64]:
		if s.int64s[c] == nil {
			s.int64s[c] = new(cursor[int64])
		}
		s.int64s[c].set(reader.ReadBatchInPage, column, pages, &s.err)
		s.int64s[c].skip(skip)
	case batchReader[int32]:
		if s.int32s[c] == nil {
			s.int32s[c] = new(cursor[int32])
		}
		s.int32s[c].set(reader.ReadBatchInPage, column, pages, &s.err)
		s.int32s[c].skip(skip)
	default:
		s.err = schema.Errorf(schema.Corrupt, "column %s is of another type", column.path)
	}
}

// seek moves on to the first row of the range with an offset of at least the
// given one; false: there is none. Only the offset column is decoded: the
// others follow when a row is.
func (s *scan) seek(offset int64) (found bool, err error) {
	defer recoverCorrupt(&err)
	for ; s.left > 0; s.left-- {
		if !s.peeked {
			at, _ := s.int64s[colOffset].scalar()
			if s.err != nil {
				return false, s.err
			}
			if at <= s.row.Offset {
				return false, schema.Errorf(schema.Corrupt, "offset %d follows %d", at, s.row.Offset)
			}
			s.row.Offset, s.peeked = at, true
		}
		if s.row.Offset >= offset {
			return true, nil
		}
		s.peeked = false
		s.lag++
	}
	return false, nil
}

// decode decodes the row that seek found into s.row.
func (s *scan) decode() (err error) {
	defer recoverCorrupt(&err)
	if s.lag > 0 {
		s.catchUp()
	}
	s.peeked = false
	s.left--
	if s.columns&fixed != 0 {
		s.fixed()
	}
	if s.columns&Times != 0 {
		s.row.Timestamp, _ = s.int64s[colTimestamp].scalar()
		s.readTimestampType()
	}
	if s.columns&Broker != 0 {
		s.row.LeaderEpoch, _ = s.int32s[colLeaderEpoch].scalar()
		s.row.ProducerID, _ = s.int64s[colProducerID].scalar()
		epoch, _ := s.int32s[colProducerEpoch].scalar()
		s.row.ProducerEpoch = int16(epoch)
	}
	if s.columns&(Broker|Status) != 0 {
		s.readStatus()
	}
	if s.columns&Payload != 0 {
		s.row.Key = s.texts[colKey].bytes()
		s.row.Value = s.texts[colValue].bytes()
		s.readHeaders()
	}
	if s.columns&Extracted != 0 {
		s.readExtraction()
	}
	return s.err
}

// catchUp passes, in every column but the offset's, the rows that were sought
// over.
func (s *scan) catchUp() {
	for c := range numColumns {
		switch {
		case c == colOffset:
		case s.int64s[c] != nil:
			s.int64s[c].skip(s.lag)
		case s.int32s[c] != nil:
			s.int32s[c].skip(s.lag)
		case s.texts[c] != nil:
			s.texts[c].skip(s.lag)
		}
	}
	s.lag = 0
}

func (s *scan) readTimestampType() {
	text := s.texts[colTimestampType].text()
	if text != s.typeText {
		known := false
		for _, t := range timestampTypes() {
			if t.String() == text {
				s.timestampType, known = t, true
			}
		}
		if !known {
			s.texts[colTimestampType].fail("it holds no timestamp type")
		}
		s.typeText = text
	}
	s.row.TimestampType = s.timestampType
}

func (s *scan) readStatus() {
	text := s.texts[colStatus].text()
	if text != s.statusText {
		status, err := schema.ParseStatus(text)
		if err != nil || status == schema.Undecided {
			s.texts[colStatus].fail("it holds no status")
		}
		s.status, s.statusText = status, text
	}
	s.row.Status = s.status
}

func (s *scan) readHeaders() {
	keys, values := s.texts[colHeaderKey], s.texts[colHeaderValue]
	keys.beginRow()
	values.beginRow()
	s.headers = s.headers[:0]
	for more := true; more && s.err == nil; {
		keyDef, key := keys.level()
		valueDef, value := values.level()
		if (keyDef == 0) != (valueDef == 0) {
			keys.fail("names and values of headers do not match")
			break
		}
		if keyDef > 0 {
			h := schema.Header{Name: s.name(len(s.headers), key)}
			if valueDef == s.reader.columns[colHeaderValue].maxDef {
				h.Value = notNull(value)
			}
			s.headers = append(s.headers, h)
		}
		more = keys.continues()
		if more != values.continues() || more && keyDef == 0 {
			keys.fail("names and values of headers do not match")
		}
	}
	s.row.Headers = nil
	if len(s.headers) > 0 {
		s.row.Headers = s.headers
	}
}

// name makes one string of each header name. Most rows have the names of the row
// before, at the same places.
func (s *scan) name(place int, b []byte) string {
	before := s.headers[:cap(s.headers)]
	if place < len(before) && before[place].Name == string(b) {
		return before[place].Name
	}
	if name, ok := s.names[string(b)]; ok {
		return name
	}
	name := string(b)
	if len(s.names) < keptNames {
		s.names[name] = name
	}
	return name
}

func (s *scan) readExtraction() {
	x := &s.row.X
	x.EventID = s.texts[colEventID].text()
	x.EventType = s.texts[colEventType].text()
	x.EventVersion = s.texts[colEventVersion].text()
	x.SourceService = s.texts[colSourceService].text()
	x.TraceID = s.texts[colTraceID].text()
	x.SpanID = s.texts[colSpanID].text()
	x.EventTime, x.HasEventTime = s.int64s[colEventTime].scalar()
	x.SchemaID, x.HasSchemaID = s.int32s[colSchemaID].scalar()
	s.readStage()

	x.Causes, s.causes = nil, s.causes[:0]
	s.elements(colParentIDs, func(text []byte) {
		cause, err := schema.ParseCause(string(text))
		if err != nil {
			s.texts[colParentIDs].fail("it holds no cause")
		}
		s.causes = append(s.causes, cause)
	})
	if len(s.causes) > 0 {
		x.Causes = s.causes
	}
	x.Errors, s.errors = nil, s.errors[:0]
	s.elements(colContractErrors, func(text []byte) {
		s.errors = append(s.errors, s.texts[colContractErrors].remember(text))
	})
	if len(s.errors) > 0 {
		x.Errors = s.errors
	}
}

func (s *scan) readStage() {
	text := s.texts[colStage].text()
	if text != s.stageText {
		stage, known := schema.ParseStage(text)
		if text != "" && (!known || stage == schema.StageUnknown) {
			s.texts[colStage].fail("it holds no stage")
		}
		s.stage, s.stageText = stage, text
	}
	s.row.X.Stage = s.stage
}

// elements calls visit for each element of the row's list.
func (s *scan) elements(c int, visit func([]byte)) {
	cursor := s.texts[c]
	cursor.beginRow()
	for more := true; more && s.err == nil; more = cursor.continues() {
		if def, v := cursor.level(); def > 0 {
			visit(v)
		}
	}
}

// fixed holds the columns that repeat the footer against it, and refuses rows
// with erased fields: a version that knows how to verify them will read them.
func (s *scan) fixed() {
	f := &s.reader.footer
	s.texts[colTopic].same([]byte(f.Stream.Topic))
	s.texts[colTopicID].same([]byte(f.Stream.TopicID.String()))
	for c, want := range map[int]int32{colPartition: f.Stream.Partition, colBranch: f.Branch} {
		if v, _ := s.int32s[c].scalar(); s.err == nil && v != want {
			s.int32s[c].fail("it differs from the footer")
		}
	}
	for c := colProofKey; c <= colProofSeed; c++ {
		if v := s.texts[c].bytes(); v != nil {
			s.texts[c].fail("it is set: the row has erased fields, which this version does not verify")
		}
	}
}
