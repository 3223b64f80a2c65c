ALTER TABLE id_index
    MODIFY COLUMN id_h CODEC(LZ4),
    MODIFY COLUMN trace_h CODEC(LZ4),
    MODIFY SETTING min_compress_block_size = 8192
