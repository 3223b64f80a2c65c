"""What schemathesis is told of this API beyond its document: ids that are there,
in half of the requests, and that NDJSON is lines of JSON."""
import json
import os

import schemathesis

KNOWN = json.loads(os.environ["ANNALS_KNOWN"])


def known(values):
    for name in values or {}:
        if name in KNOWN and len(str(values[name])) % 2 == 0:
            values[name] = KNOWN[name]
    return values


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    return known(path_parameters)


@schemathesis.hook
def map_query(context, query):
    return known(query)


@schemathesis.deserializer("application/x-ndjson")
def last_line(context, response):
    lines = [json.loads(line) for line in response.content.splitlines()]
    return lines[-1] if lines else {}
