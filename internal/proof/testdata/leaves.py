#!/usr/bin/env python3
"""Writes leaves.json: golden vectors for docs/formats/proof.md.

An implementation of its own, on Python's standard library, so that the vectors
do not come from the code they check. Run: python3 leaves.py > leaves.json
"""
import hashlib
import json
import struct


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def field(x):
    return b"\x00" if x is None else b"\x01" + x


def headers(hs):
    out = struct.pack(">I", len(hs))
    for name, value in hs:
        out += struct.pack(">I", len(name)) + name
        out += b"\x00" if value is None else b"\x01" + struct.pack(">I", len(value)) + value
    return out


def leaf(seed, r):
    own = sha(b"annals.seed.1", seed, struct.pack(">q", r["offset"]))

    def commit(f, x):
        return sha(b"annals.comm.1", sha(b"annals.salt.1", own, bytes([f])), x)

    return sha(
        b"\x00annals.leaf.1", r["topic_id"],
        struct.pack(">iiqibqqhB", r["partition"], r["branch"], r["offset"], r["leader_epoch"],
                    r["timestamp_type"], r["timestamp"], r["producer_id"], r["producer_epoch"], r["status"]),
        commit(1, field(r["key"])), commit(2, field(r["value"])), commit(3, headers(r["headers"])))


def record(**changes):
    r = dict(topic_id=bytes(range(16)), partition=3, branch=0, offset=42, leader_epoch=7,
             timestamp_type=0, timestamp=1700000000123, producer_id=-1, producer_epoch=-1, status=1,
             key=b"EUR", value=b'{"rate":1.0841}', headers=[(b"traceparent", b"00-0af7"), (b"x", None)])
    r.update(changes)
    return r


CASES = {
    "plain": record(),
    "null key": record(key=None),
    "empty key": record(key=b""),
    "null value": record(value=None),
    "empty value": record(value=b""),
    "no headers": record(headers=[]),
    "empty header value": record(headers=[(b"x", b"")]),
    "null header value": record(headers=[(b"x", None)]),
    "duplicate headers": record(headers=[(b"x", b"1"), (b"x", b"2"), (b"x", b"1")]),
    "header name not utf-8": record(headers=[(b"\xff\x00", b"\xfe")]),
    "many headers": record(headers=[(b"h%d" % i, b"v" * (i % 7)) for i in range(300)]),
    "large value": record(value=bytes(i * 31 % 251 for i in range(6000))),
    "value at the small limit": record(value=b"s" * 4096),
    "value above the small limit": record(value=b"s" * 4097),
    "extremes": record(partition=2**31 - 1, branch=2**31 - 1, offset=2**63 - 1, leader_epoch=-1,
                       timestamp_type=-1, timestamp=-2**63, producer_id=2**63 - 1, producer_epoch=2**15 - 1,
                       status=2),
    "control": record(status=3, timestamp_type=1, producer_id=4000, producer_epoch=12,
                      key=b"\x00\x00\x00\x01", value=b"\x00\x00\x00\x00\x00\x00", headers=[]),
}


def text(x):
    return None if x is None else x.hex()


out = []
for i, (name, r) in enumerate(CASES.items()):
    seed = hashlib.sha256(b"vector %d" % i).digest()
    shown = {k: str(v) if isinstance(v, int) else v for k, v in r.items()}
    shown.update(topic_id=r["topic_id"].hex(), key=text(r["key"]), value=text(r["value"]),
                 headers=[[text(n), text(v)] for n, v in r["headers"]])
    out.append({"name": name, "seed": seed.hex(), "record": shown, "leaf": leaf(seed, r).hex()})
print(json.dumps(out, indent=0))
