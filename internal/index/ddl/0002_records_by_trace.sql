CREATE TABLE IF NOT EXISTS records_by_trace (
    trace_h         UInt64 COMMENT 'SipHash-2-4 of the trace id; of a record without one: of its identity' CODEC(NONE),
    trace_id        String CODEC(ZSTD(1)),
    topic           LowCardinality(String),
    topic_id        FixedString(16),
    partition       Int32 CODEC(T64, LZ4),
    branch          Int32 CODEC(T64, LZ4),
    offset          Int64 CODEC(Delta(8), LZ4),
    status          Enum8('committed' = 1, 'aborted' = 2, 'control' = 3),
    extract_version UInt16 CODEC(T64, LZ4),
    timestamp       Int64 CODEC(Delta(8), LZ4),
    event_time      Int64 CODEC(Delta(8), LZ4),
    event_id        String CODEC(ZSTD(1)),
    span_id         String CODEC(ZSTD(1)),
    causes          String COMMENT 'declared parents as kind:id, one a line, in the record''s order' CODEC(ZSTD(1)),
    event_type      LowCardinality(String),
    event_version   LowCardinality(String),
    source_service  LowCardinality(String),
    stage           Enum8('unknown' = 0, 'ingestion' = 1, 'enrichment' = 2, 'transformation' = 3, 'delivery' = 4, 'dead-letter' = 5, 'replay' = 6),
    bytes           Int64 CODEC(T64, LZ4),
    null_value      UInt8 CODEC(T64, LZ4),
    cause_list      Array(String) ALIAS if(causes = '', [], splitByChar('\n', causes)),
    ts              DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(timestamp, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY {{partition_by_trace}}
ORDER BY (trace_h, trace_id, timestamp, topic_id, partition, branch, offset, extract_version)
PRIMARY KEY trace_h
{{ttl}}
SETTINGS index_granularity = 1024, min_bytes_for_wide_part = 268435456, ttl_only_drop_parts = 1{{settings}}
