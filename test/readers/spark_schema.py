"""Fails when a segment's schema has anything that Spark's Parquet reader does not take.

What it takes is in Spark's ParquetToSparkSchemaConverter: no unsigned integers over
32 bits, no INT96 is needed, times in milliseconds or microseconds with UTC, lists of
three levels. This checks the schema. It does not run Spark.
"""
import json

import pyarrow.parquet as pq

PLAIN = {  # physical type, logical type
    ("INT32", "NONE"), ("INT64", "NONE"), ("INT32", "INT"), ("BYTE_ARRAY", "NONE"), ("BYTE_ARRAY", "STRING"), ("INT64", "TIMESTAMP"),
}
CODECS = {"UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD"}

for path in open("files.txt").read().split():
    file = pq.ParquetFile(path)
    for i in range(len(file.schema)):
        column = file.schema.column(i)
        logical = json.loads(column.logical_type.to_json())
        assert (column.physical_type, logical["Type"].upper()) in PLAIN, column
        if logical["Type"] == "Int":
            assert logical["isSigned"] and logical["bitWidth"] in (8, 16, 32), column
        if logical["Type"] == "Timestamp":
            assert logical["isAdjustedToUTC"] and logical["timeUnit"] in ("milliseconds", "microseconds"), column
        if column.max_repetition_level > 0:
            assert column.max_repetition_level == 1 and ".list.element" in column.path, column
    names = file.schema_arrow.names
    assert len({name.lower() for name in names}) == len(names), "Spark does not tell names by case"
    for group in range(file.num_row_groups):
        for i in range(file.metadata.num_columns):
            chunk = file.metadata.row_group(group).column(i)
            assert chunk.compression in CODECS, chunk
    print(path, len(file.schema))
