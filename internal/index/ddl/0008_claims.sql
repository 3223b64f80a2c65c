CREATE TABLE IF NOT EXISTS claims (
    cluster         LowCardinality(String),
    topic_id        FixedString(16),
    partition       Int32,
    version         UInt16 COMMENT 'the extract_version that a reindex took for what it reads of the stream',
    run             String COMMENT 'which reindex'
)
ENGINE = ReplacingMergeTree
ORDER BY (topic_id, partition, cluster, version, run)
SETTINGS index_granularity = 1024{{settings}}
