CREATE TABLE IF NOT EXISTS violations (
    topic           LowCardinality(String),
    topic_id        FixedString(16),
    partition       Int32,
    branch          Int32,
    seq             Int64,
    event_type      LowCardinality(String),
    event_version   LowCardinality(String),
    source_service  LowCardinality(String),
    rule            LowCardinality(String) COMMENT 'as in records.errors',
    records         Int64 COMMENT 'committed ones of the segment',
    first_offset    Int64,
    last_offset     Int64,
    timestamp       Int64 COMMENT 'the greatest record time, milliseconds since the Unix epoch',
    min_timestamp   Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY {{partition}}
ORDER BY (topic, rule, event_type, event_version, source_service, topic_id, partition, branch, seq)
{{ttl}}
SETTINGS ttl_only_drop_parts = 1{{settings}}
