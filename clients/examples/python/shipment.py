"""Reads the orders of one shipment and writes the shipment, which says what caused it."""
import json
import sys
import uuid
from datetime import datetime, timezone

from confluent_kafka import Consumer, Producer


def headers(event_type, version, service, inputs):
    """What a record says of itself, and of the inputs that it was made of."""
    ours = [("eventId", str(uuid.uuid4())), ("eventType", event_type), ("eventVersion", version),
            ("sourceService", service), ("timestamp", datetime.now(timezone.utc).isoformat())]
    traces = []
    for record in inputs:
        theirs = dict(record.headers() or [])  # of one name the last counts
        if "eventId" in theirs:
            ours.append(("causationId", theirs["eventId"]))
        if "traceId" in theirs:
            traces.append(("traceId", theirs["traceId"]))
        ours += [("x-src-topic", record.topic()), ("x-src-partition", str(record.partition())),
                 ("x-src-offset", str(record.offset()))]
    return ours + traces[:1]


def main(settings, source, target, count):
    with open(settings, encoding="utf-8") as file:
        kafka = json.load(file)
    consumer = Consumer({**kafka, "group.id": "shipping-python", "auto.offset.reset": "earliest"})
    consumer.subscribe([source])
    orders = []
    while len(orders) < int(count):
        record = consumer.poll(1.0)
        if record is None:
            continue
        if record.error():
            raise SystemExit(record.error())
        orders.append(record)
    producer = Producer(kafka)
    shipment = json.dumps({"orders": [json.loads(order.value())["order"] for order in orders]})
    producer.produce(target, shipment, headers=headers("ShipmentPlanned", "1", "shipping-python", orders))
    left = producer.flush(60)
    consumer.close()
    if left:
        raise SystemExit(f"{left} records were not delivered")


if __name__ == "__main__":
    main(*sys.argv[1:])
