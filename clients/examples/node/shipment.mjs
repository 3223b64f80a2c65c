// Reads the orders of one shipment and writes the shipment, which says what
// caused it.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import kafkajs from 'kafkajs';

const last = (value) => (Array.isArray(value) ? value.at(-1) : value);

// What a record says of itself, and of the inputs that it was made of. A name
// with several values becomes as many headers.
function headers(eventType, eventVersion, sourceService, inputs) {
  const ids = inputs.map(({ message }) => last(message.headers?.eventId)).filter(Boolean);
  const traceId = inputs.map(({ message }) => last(message.headers?.traceId)).find(Boolean);
  return {
    eventId: randomUUID(),
    eventType,
    eventVersion,
    sourceService,
    timestamp: new Date().toISOString(),
    ...(traceId && { traceId }),
    causationId: ids,
    'x-src-topic': inputs.map((input) => input.topic),
    'x-src-partition': inputs.map((input) => String(input.partition)),
    'x-src-offset': inputs.map((input) => input.message.offset),
  };
}

const [, , settings, source, target, count] = process.argv;
const kafka = new kafkajs.Kafka({ ...JSON.parse(readFileSync(settings, 'utf8')), logLevel: kafkajs.logLevel.ERROR });
const consumer = kafka.consumer({ groupId: 'shipping-node' });
const producer = kafka.producer();
await Promise.all([consumer.connect(), producer.connect()]);
await consumer.subscribe({ topics: [source], fromBeginning: true });
const orders = [];
await new Promise((resolve, reject) => {
  consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
  consumer.run({
    eachMessage: async (input) => {
      orders.push(input);
      if (orders.length >= Number(count)) resolve();
    },
  }).catch(reject);
});
const inputs = orders.slice(0, Number(count));
const value = JSON.stringify({ orders: inputs.map(({ message }) => JSON.parse(message.value).order) });
await producer.send({ topic: target, messages: [{ value, headers: headers('ShipmentPlanned', '1', 'shipping-node', inputs) }] });
await Promise.all([consumer.disconnect(), producer.disconnect()]);
