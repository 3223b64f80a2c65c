package segment

import (
	"fmt"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"
)

// The leaf columns, in the file's order. docs/formats/segment.md describes
// them; their order and types never change within a format version.
const (
	colTopic = iota
	colTopicID
	colPartition
	colBranch
	colOffset
	colLeaderEpoch
	colTimestamp
	colTimestampType
	colProducerID
	colProducerEpoch
	colStatus
	colKey
	colValue
	colHeaderKey
	colHeaderValue
	colEventID
	colEventType
	colEventVersion
	colSourceService
	colTraceID
	colSpanID
	colParentIDs
	colEventTime
	colStage
	colSchemaID
	colContractErrors
	colProofKey
	colProofValue
	colProofHeaders
	colProofSeed
	numColumns
)

// column is what writer and reader agree on for one leaf column.
type column struct {
	path     string
	group    Columns          // which projection reads it
	dict     bool             // few distinct values: dictionary encoding, PLAIN once the dictionary is full
	encoding parquet.Encoding // without a dictionary
	stats    bool
	bloom    bool

	maxDef, maxRep int16 // filled in by a reader from the schema
	isBytes        bool  // so, too
}

// plan returns the columns' table. Statistics are off where minimum and
// maximum exclude nothing and cost bytes: payloads, headers and lists.
func plan() [numColumns]column {
	plain, delta := parquet.Encodings.Plain, parquet.Encodings.DeltaBinaryPacked
	return [numColumns]column{
		colTopic:          {path: "topic", group: fixed, dict: true, encoding: plain, stats: true},
		colTopicID:        {path: "topic_id", group: fixed, dict: true, encoding: plain, stats: true},
		colPartition:      {path: "partition", group: fixed, dict: true, encoding: plain, stats: true},
		colBranch:         {path: "branch", group: fixed, dict: true, encoding: plain, stats: true},
		colOffset:         {path: "offset", group: always, encoding: delta, stats: true},
		colLeaderEpoch:    {path: "leader_epoch", group: Broker, dict: true, encoding: plain, stats: true},
		colTimestamp:      {path: "timestamp", group: Times, encoding: delta, stats: true},
		colTimestampType:  {path: "timestamp_type", group: Times, dict: true, encoding: plain, stats: true},
		colProducerID:     {path: "producer_id", group: Broker, dict: true, encoding: plain, stats: true},
		colProducerEpoch:  {path: "producer_epoch", group: Broker, dict: true, encoding: plain, stats: true},
		colStatus:         {path: "status", group: Broker | Status, dict: true, encoding: plain, stats: true},
		colKey:            {path: "key", group: Payload, encoding: plain, stats: true},
		colValue:          {path: "value", group: Payload, encoding: plain},
		colHeaderKey:      {path: "headers.list.element.key", group: Payload, dict: true, encoding: plain},
		colHeaderValue:    {path: "headers.list.element.value", group: Payload, encoding: plain},
		colEventID:        {path: "event_id", group: Extracted, encoding: plain, stats: true, bloom: true},
		colEventType:      {path: "event_type", group: Extracted, dict: true, encoding: plain, stats: true},
		colEventVersion:   {path: "event_version", group: Extracted, dict: true, encoding: plain, stats: true},
		colSourceService:  {path: "source_service", group: Extracted, dict: true, encoding: plain, stats: true},
		colTraceID:        {path: "trace_id", group: Extracted, encoding: plain, stats: true, bloom: true},
		colSpanID:         {path: "span_id", group: Extracted, encoding: plain, stats: true},
		colParentIDs:      {path: "parent_ids.list.element", group: Extracted, encoding: plain},
		colEventTime:      {path: "event_time", group: Extracted, encoding: delta, stats: true},
		colStage:          {path: "stage", group: Extracted, dict: true, encoding: plain, stats: true},
		colSchemaID:       {path: "schema_id", group: Extracted, dict: true, encoding: plain, stats: true},
		colContractErrors: {path: "contract_errors.list.element", group: Extracted, dict: true, encoding: plain},
		colProofKey:       {path: "proof_key", group: fixed, encoding: plain, stats: true},
		colProofValue:     {path: "proof_value", group: fixed, encoding: plain, stats: true},
		colProofHeaders:   {path: "proof_headers", group: fixed, encoding: plain, stats: true},
		colProofSeed:      {path: "proof_seed", group: fixed, encoding: plain, stats: true},
	}
}

// fileSchema builds the Parquet schema.
func fileSchema() (*pqschema.GroupNode, error) {
	required, optional := parquet.Repetitions.Required, parquet.Repetitions.Optional
	var b schemaBuilder
	text := pqschema.StringLogicalType{}
	bytesType, int32Type, int64Type := parquet.Types.ByteArray, parquet.Types.Int32, parquet.Types.Int64
	millis := pqschema.NewTimestampLogicalType(true, pqschema.TimeUnitMillis)
	micros := pqschema.NewTimestampLogicalType(true, pqschema.TimeUnitMicros)

	b.add("topic", required, text, bytesType)
	b.add("topic_id", required, text, bytesType)
	b.add("partition", required, nil, int32Type)
	b.add("branch", required, nil, int32Type)
	b.add("offset", required, nil, int64Type)
	b.add("leader_epoch", required, nil, int32Type)
	b.add("timestamp", required, millis, int64Type)
	b.add("timestamp_type", required, text, bytesType)
	b.add("producer_id", required, nil, int64Type)
	b.add("producer_epoch", required, pqschema.NewIntLogicalType(16, true), int32Type)
	b.add("status", required, text, bytesType)
	b.add("key", optional, nil, bytesType)
	b.add("value", optional, nil, bytesType)
	b.headers()
	for _, name := range []string{"event_id", "event_type", "event_version", "source_service", "trace_id", "span_id"} {
		b.add(name, optional, text, bytesType)
	}
	b.texts("parent_ids")
	b.add("event_time", optional, micros, int64Type)
	b.add("stage", optional, text, bytesType)
	b.add("schema_id", optional, nil, int32Type)
	b.texts("contract_errors")
	for _, name := range []string{"proof_key", "proof_value", "proof_headers", "proof_seed"} {
		b.add(name, optional, nil, bytesType)
	}
	return b.root()
}

// schemaBuilder collects fields and the first error.
type schemaBuilder struct {
	fields pqschema.FieldList
	err    error
}

func (b *schemaBuilder) primitive(name string, rep parquet.Repetition, logical pqschema.LogicalType, physical parquet.Type) pqschema.Node {
	if logical == nil {
		logical = pqschema.NoLogicalType{}
	}
	node, err := pqschema.NewPrimitiveNodeLogical(name, rep, logical, physical, -1, -1)
	b.keep(name, err)
	return node
}

func (b *schemaBuilder) add(name string, rep parquet.Repetition, logical pqschema.LogicalType, physical parquet.Type) {
	b.fields = append(b.fields, b.primitive(name, rep, logical, physical))
}

func (b *schemaBuilder) list(name string, element pqschema.Node) {
	node, err := pqschema.ListOfWithName(name, element, parquet.Repetitions.Required, -1)
	b.keep(name, err)
	b.fields = append(b.fields, node)
}

func (b *schemaBuilder) texts(name string) {
	b.list(name, b.primitive("element", parquet.Repetitions.Required, pqschema.StringLogicalType{}, parquet.Types.ByteArray))
}

func (b *schemaBuilder) headers() {
	pair := pqschema.FieldList{
		b.primitive("key", parquet.Repetitions.Required, nil, parquet.Types.ByteArray),
		b.primitive("value", parquet.Repetitions.Optional, nil, parquet.Types.ByteArray),
	}
	element, err := pqschema.NewGroupNode("element", parquet.Repetitions.Required, pair, -1)
	b.keep("headers", err)
	b.list("headers", element)
}

func (b *schemaBuilder) keep(name string, err error) {
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("build the schema of column %s: %w", name, err)
	}
}

func (b *schemaBuilder) root() (*pqschema.GroupNode, error) {
	if b.err != nil {
		return nil, b.err
	}
	node, err := pqschema.NewGroupNode("schema", parquet.Repetitions.Required, b.fields, -1)
	if err != nil {
		return nil, fmt.Errorf("build the schema: %w", err)
	}
	return node, nil
}

// distinct holds how many distinct values a bloom filter is made for.
type distinct struct{ eventIDs, traceIDs int }

// properties sets arrow's writer up. Pages are cut by our own count of bytes
// and rows, so arrow's limits are set out of reach; the page index is on by
// default because arrow ignores it per column otherwise.
func properties(n distinct) *parquet.WriterProperties {
	const outOfReach = 1 << 30
	options := []parquet.WriterProperty{
		parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithDataPageVersion(parquet.DataPageV1),
		parquet.WithCreatedBy(createdBy),
		parquet.WithCompression(compress.Codecs.Zstd),
		parquet.WithCompressionLevel(zstdLevel),
		parquet.WithDictionaryDefault(false),
		parquet.WithDictionaryPageSizeLimit(maxDictionary),
		parquet.WithBatchSize(outOfReach),
		parquet.WithDataPageSize(outOfReach),
		parquet.WithStats(false),
		parquet.WithMaxStatsSize(maxStatistic),
		parquet.WithPageIndexEnabled(true),
		parquet.WithSortingColumns([]parquet.SortingColumn{{ColumnIdx: colOffset}}),
	}
	for i, c := range plan() {
		options = append(options,
			parquet.WithDictionaryFor(c.path, c.dict),
			parquet.WithEncodingFor(c.path, c.encoding),
			parquet.WithStatsFor(c.path, c.stats))
		ndv := n.eventIDs
		if i == colTraceID {
			ndv = n.traceIDs
		}
		if c.bloom && ndv > 0 {
			options = append(options,
				parquet.WithBloomFilterEnabledFor(c.path, true),
				parquet.WithBloomFilterFPPFor(c.path, bloomFPP),
				parquet.WithBloomFilterNDVFor(c.path, int64(ndv)))
		}
	}
	return parquet.NewWriterProperties(options...)
}
