CREATE TABLE IF NOT EXISTS rollups (
    hour            DateTime('UTC') COMMENT 'of the record time; 1970-01-01 for times outside 1990 to 2040',
    topic           LowCardinality(String),
    topic_id        FixedString(16),
    partition       Int32,
    branch          Int32,
    seq             Int64,
    status          Enum8('committed' = 1, 'aborted' = 2, 'control' = 3),
    source_service  LowCardinality(String),
    event_type      LowCardinality(String),
    event_version   LowCardinality(String),
    stage           Enum8('unknown' = 0, 'ingestion' = 1, 'enrichment' = 2, 'transformation' = 3, 'delivery' = 4, 'dead-letter' = 5, 'replay' = 6),
    records         Int64,
    bytes           Int64,
    tombstones      Int64,
    without_trace   Int64,
    with_errors     Int64,
    timestamp       Int64 COMMENT 'the greatest record time in the hour, milliseconds since the Unix epoch',
    min_timestamp   Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY {{partition}}
ORDER BY (topic, source_service, event_type, event_version, stage, status, hour, topic_id, partition, branch, seq)
{{ttl}}
SETTINGS ttl_only_drop_parts = 1{{settings}}
