"""Prints every row of the segments in files.txt with Apache Arrow, as row_test.go wants it.

Argument: "files" (files.txt has paths) or "s3" (it has s3:// addresses; endpoint,
region and keys are in the environment).
"""
import base64
import json
import os
import sys

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

lines = open("files.txt").read().split()
if sys.argv[1] == "s3":
    s3 = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"])
    dataset = ds.dataset([x.removeprefix("s3://") for x in lines], filesystem=s3, format="parquet")
else:
    dataset = ds.dataset(lines, format="parquet")


def text(b):
    return None if b is None else base64.b64encode(b).decode()


def exact(column):
    """Times as the numbers in the file: Python's own type ends with the year 9999."""
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


for batch in dataset.to_batches():
    columns = {name: exact(batch.column(name)).to_pylist() for name in batch.schema.names}
    for i in range(batch.num_rows):
        row = {name: values[i] for name, values in columns.items()}
        for name in ("key", "value", "proof_key", "proof_value", "proof_headers", "proof_seed"):
            row[name] = text(row[name])
        row["headers"] = [[text(h["key"]), text(h["value"])] for h in row["headers"]]
        print(json.dumps(row))
