CREATE TABLE IF NOT EXISTS segments (
    cluster         LowCardinality(String),
    topic           LowCardinality(String),
    topic_id        FixedString(16),
    partition       Int32,
    branch          Int32,
    base            Int64,
    next            Int64,
    seq             Int64,
    kind            LowCardinality(String) COMMENT 'the commit''s kind',
    object_key      String COMMENT 'empty where the commit has no segment',
    sha256          FixedString(32),
    bytes           Int64,
    extract_version UInt16,
    committed       Int64,
    aborted         Int64,
    control         Int64,
    timestamp       Int64 COMMENT 'the greatest record time, milliseconds since the Unix epoch',
    min_timestamp   Int64,
    gap_classes     Array(LowCardinality(String)),
    gap_offsets     Array(Int64) COMMENT 'offsets not served, by class, in the order of gap_classes',
    high_watermark  Int64 COMMENT 'as seen at the commit; -1: not known',
    sealed_at       Int64 COMMENT 'the writer''s clock, milliseconds since the Unix epoch',
    topic_id_text   String ALIAS base64URLEncode(topic_id)
)
ENGINE = ReplacingMergeTree(extract_version)
ORDER BY (topic_id, partition, branch, base, seq)
SETTINGS index_granularity = 1024{{settings}}
