CREATE TABLE IF NOT EXISTS positions (
    topic           LowCardinality(String),
    topic_id        FixedString(16),
    partition       Int32,
    branch          Int32,
    next            Int64 COMMENT 'one more than the greatest offset indexed',
    timestamp       Int64 COMMENT 'the greatest record time in that call, milliseconds since the Unix epoch',
    archived_at     Int64 COMMENT 'milliseconds since the Unix epoch'
)
ENGINE = ReplacingMergeTree(next)
ORDER BY (topic_id, partition, branch)
