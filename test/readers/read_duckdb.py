"""Prints every row of the segments in files.txt with DuckDB, as row_test.go wants it.

Argument: "exact", or "untimed" for segments with timestamps that DuckDB refuses:
then the column is not touched, and is printed as 0.
"""
import sys

import duckdb

files = open("files.txt").read().split()
timestamp = "epoch_ms(timestamp)" if sys.argv[1] == "exact" else "0"
rows = duckdb.connect().execute(
    f"""
    SELECT to_json(row) FROM (
      SELECT topic, topic_id, partition, branch, "offset", leader_epoch, {timestamp} AS timestamp, timestamp_type,
        producer_id, producer_epoch, status, to_base64("key") AS "key", to_base64("value") AS "value",
        list_transform(headers, lambda h: [to_base64(h['key']), to_base64(h['value'])]) AS headers,
        event_id, event_type, event_version, source_service, trace_id, span_id, parent_ids,
        epoch_us(event_time) AS event_time, stage, schema_id, contract_errors,
        to_base64(proof_key) AS proof_key, to_base64(proof_value) AS proof_value,
        to_base64(proof_headers) AS proof_headers, to_base64(proof_seed) AS proof_seed
      FROM read_parquet(?)) AS row
    """,
    [files],
)
while batch := rows.fetchmany(100):
    for (row,) in batch:
        print(row)
