CREATE TABLE IF NOT EXISTS topology (
    parent_topic    LowCardinality(String),
    parent_type     LowCardinality(String),
    child_topic     LowCardinality(String),
    child_type      LowCardinality(String),
    topic_id        FixedString(16) COMMENT 'of the child',
    partition       Int32,
    branch          Int32,
    seq             Int64,
    samples         Int64 COMMENT 'declared causes that were looked at and resolved; a sample, not a count',
    timestamp       Int64 COMMENT 'the greatest record time of the segment, milliseconds since the Unix epoch'
)
ENGINE = ReplacingMergeTree
PARTITION BY {{partition}}
ORDER BY (parent_topic, parent_type, child_topic, child_type, topic_id, partition, branch, seq)
{{ttl}}
SETTINGS ttl_only_drop_parts = 1{{settings}}
