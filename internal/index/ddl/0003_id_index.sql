CREATE TABLE IF NOT EXISTS id_index (
    id_h            UInt64 COMMENT 'SipHash-2-4 of the id; the id itself is in the row that trace_h leads to' CODEC(NONE),
    kind            UInt8 COMMENT '1 record, 2 event, 3 span, 4 correlation, 6 alias; from 16 on references: 16 event, 17 span, 18 trace, 19 record' CODEC(T64, LZ4),
    trace_h         UInt64 COMMENT 'the row''s key in records_by_trace' CODEC(NONE),
    topic_id        FixedString(16) CODEC(LZ4),
    partition       Int32 CODEC(T64, LZ4),
    branch          Int32 CODEC(T64, LZ4),
    offset          Int64 CODEC(T64, LZ4),
    extract_version UInt16 CODEC(T64, LZ4),
    timestamp       Int64 CODEC(T64, LZ4)
)
ENGINE = ReplacingMergeTree
PARTITION BY {{partition}}
ORDER BY (kind, id_h, topic_id, partition, branch, offset, extract_version)
PRIMARY KEY (kind, id_h)
{{ttl}}
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1{{settings}}
