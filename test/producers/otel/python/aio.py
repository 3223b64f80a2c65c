"""Writes two orders, and what became of them, with aiokafka as OpenTelemetry
instruments it and no header of its own: a record for each order, one for a batch,
and one for each order with the order's headers forwarded."""
import asyncio
import json
import sys

from opentelemetry import trace
from opentelemetry.instrumentation.aiokafka import AIOKafkaInstrumentor
from opentelemetry.sdk.trace import TracerProvider

trace.set_tracer_provider(TracerProvider())
AIOKafkaInstrumentor().instrument()

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # noqa: E402: instrumented now

ORDERS = ["1", "2"]


async def main(settings, prefix):
    with open(settings, encoding="utf-8") as file:
        named = json.load(file)
    kafka = {
        "bootstrap_servers": named["bootstrap.servers"], "security_protocol": named["security.protocol"],
        "sasl_mechanism": named["sasl.mechanism"], "sasl_plain_username": named["sasl.username"],
        "sasl_plain_password": named["sasl.password"],
    }
    producer = AIOKafkaProducer(**kafka)
    await producer.start()

    async def consumer(step):
        c = AIOKafkaConsumer(prefix + ".orders", group_id=prefix + "." + step, auto_offset_reset="earliest", **kafka)
        await c.start()
        return c

    async def send(step, key, **more):
        await producer.send_and_wait(prefix + "." + step, json.dumps({step: key}).encode(), key=key.encode(), **more)

    for key in ORDERS:
        await send("orders", key)

    async def each(step, headers=lambda record: None):
        c = await consumer(step)
        for _ in ORDERS:
            record = await c.getone()
            await send(step, record.key.decode(), headers=headers(record))
        await c.stop()

    await each("each")
    await each("forward", lambda record: list(record.headers))
    c, seen = await consumer("batch"), []
    while len(seen) < len(ORDERS):
        for records in (await c.getmany(timeout_ms=1000)).values():
            seen += records
    for record in seen:
        await send("batch", record.key.decode())
    await c.stop()
    await producer.stop()


asyncio.run(main(*sys.argv[1:]))
