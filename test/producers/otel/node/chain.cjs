// Writes two orders, and what became of them, with kafkajs as OpenTelemetry
// instruments it and no header of its own: a record for each order, one for a
// batch, and one for each order with the order's headers forwarded.
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
const { KafkaJsInstrumentation } = require('@opentelemetry/instrumentation-kafkajs');

new NodeTracerProvider().register();
new KafkaJsInstrumentation(); // before kafkajs is loaded
const { readFileSync } = require('node:fs');
const { Kafka, logLevel } = require('kafkajs');

const [, , settings, prefix] = process.argv;
const kafka = new Kafka({ ...JSON.parse(readFileSync(settings, 'utf8')), logLevel: logLevel.ERROR });
const producer = kafka.producer();
const orders = ['1', '2'];
const send = (step, messages) => producer.send({ topic: `${prefix}.${step}`, messages });

// Runs a consumer until it has seen all orders.
async function consume(step, handlers) {
  const consumer = kafka.consumer({ groupId: `${prefix}.${step}` });
  await consumer.connect();
  await consumer.subscribe({ topics: [`${prefix}.orders`], fromBeginning: true });
  let seen = 0;
  await new Promise((resolve, reject) => {
    const count = (n) => { seen += n; if (seen >= orders.length) resolve(); };
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    consumer.run(handlers(count)).catch(reject);
  });
  await consumer.disconnect();
}

async function main() {
  await producer.connect();
  for (const key of orders) await send('orders', [{ key, value: JSON.stringify({ order: key }) }]);
  await Promise.all([
    consume('each', (count) => ({ eachMessage: async ({ message }) => {
      await send('each', [{ key: message.key, value: JSON.stringify({ shipped: String(message.key) }) }]);
      count(1);
    } })),
    consume('forward', (count) => ({ eachMessage: async ({ message }) => {
      await send('forward', [{ key: message.key, headers: { ...message.headers }, value: '{}' }]);
      count(1);
    } })),
    consume('batch', (count) => ({ eachBatch: async ({ batch }) => {
      await send('batch', batch.messages.map(({ key }) => ({ key, value: '{}' })));
      count(batch.messages.length);
    } })),
  ]);
  await producer.disconnect();
}

main().catch((err) => { console.error(err); process.exit(1); });
