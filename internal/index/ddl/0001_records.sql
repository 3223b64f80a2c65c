CREATE TABLE IF NOT EXISTS records (
    topic           LowCardinality(String),
    topic_id        FixedString(16),
    partition       Int32 CODEC(T64, LZ4),
    branch          Int32 CODEC(T64, LZ4),
    offset          Int64 CODEC(Delta(8), LZ4),
    status          Enum8('committed' = 1, 'aborted' = 2, 'control' = 3),
    extract_version UInt16 CODEC(T64, LZ4),
    timestamp       Int64 COMMENT 'Kafka record time, milliseconds since the Unix epoch, as sent' CODEC(Delta(8), LZ4),
    event_time      Int64 COMMENT 'contract time, microseconds since the Unix epoch; the least Int64: none' CODEC(Delta(8), LZ4),
    archived_at     Int64 COMMENT 'milliseconds since the Unix epoch' CODEC(Delta(8), LZ4),
    trace_id        String CODEC(ZSTD(1)),
    event_id        String CODEC(ZSTD(1)),
    event_type      LowCardinality(String),
    event_version   LowCardinality(String),
    source_service  LowCardinality(String),
    stage           Enum8('unknown' = 0, 'ingestion' = 1, 'enrichment' = 2, 'transformation' = 3, 'delivery' = 4, 'dead-letter' = 5, 'replay' = 6),
    bytes           Int64 COMMENT 'key, value and headers as sent' CODEC(T64, LZ4),
    null_value      UInt8 COMMENT '1: a tombstone' CODEC(T64, LZ4),
    errors          Array(LowCardinality(String)),
    ts              DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(timestamp, 'UTC'),
    topic_id_text   String ALIAS base64URLEncode(topic_id),
    INDEX ix_service source_service TYPE set(64) GRANULARITY 4,
    INDEX ix_stage stage TYPE set(8) GRANULARITY 4
)
ENGINE = ReplacingMergeTree
PARTITION BY {{partition}}
ORDER BY (topic, event_type, intDiv(timestamp, 600000), topic_id, partition, branch, offset, extract_version)
{{ttl}}
SETTINGS ttl_only_drop_parts = 1{{settings}}
