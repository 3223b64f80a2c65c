"""Writes two orders, and what became of them, with confluent-kafka as OpenTelemetry
instruments it and no header of its own: a record for each order, one for a batch,
and one for each order with the order's headers forwarded."""
import json
import sys

import confluent_kafka
from opentelemetry import trace
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor
from opentelemetry.sdk.trace import TracerProvider

trace.set_tracer_provider(TracerProvider())
ConfluentKafkaInstrumentor().instrument()  # replaces the classes of the module

ORDERS = ["1", "2"]


def main(settings, prefix):
    with open(settings, encoding="utf-8") as file:
        kafka = json.load(file)
    producer = confluent_kafka.Producer(kafka)

    def consumer(step):
        c = confluent_kafka.Consumer({**kafka, "group.id": prefix + "." + step, "auto.offset.reset": "earliest"})
        c.subscribe([prefix + ".orders"])
        return c

    def send(step, key, **more):
        producer.produce(prefix + "." + step, key=key, value=json.dumps({step: key}), **more)

    for key in ORDERS:
        send("orders", key)
    producer.flush(60)

    def each(step, **more):
        c, seen = consumer(step), 0
        while seen < len(ORDERS):
            record = c.poll(1.0)
            if record is None or record.error():
                continue
            send(step, record.key().decode(), **{name: value(record) for name, value in more.items()})
            seen += 1
        c.close()

    each("each")
    each("forward", headers=lambda record: list(record.headers() or []))
    c, seen = consumer("batch"), []
    while len(seen) < len(ORDERS):
        seen += [record for record in c.consume(num_messages=len(ORDERS), timeout=1.0) if not record.error()]
    for record in seen:
        send("batch", record.key().decode())
    c.close()
    if left := producer.flush(60):
        raise SystemExit(f"{left} records were not delivered")


main(*sys.argv[1:])
