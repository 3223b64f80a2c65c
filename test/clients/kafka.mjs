// Reads a topic's committed records with kafkajs, logged in by SCRAM.
// Snappy, franz-go's default, is a package of its own there.
import kafkajs from 'kafkajs';
import snappy from 'kafkajs-snappy';
import { argument, print, up } from './up.mjs';

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.Snappy] = snappy;

const topic = argument(3);
const wanted = Number(argument(4));
const options = (password) => ({
  clientId: 'not-ours',
  brokers: up.kafka.brokers,
  logLevel: logLevel.NOTHING,
  retry: { retries: 2 },
  sasl: { mechanism: up.kafka.mechanism.toLowerCase(), username: up.kafka.user, password },
});
const records = {};
const consumer = new Kafka(options(up.kafka.password)).consumer({ groupId: `not-ours-${process.pid}`, readUncommitted: false });
await consumer.connect();
await consumer.subscribe({ topics: [topic], fromBeginning: true });
await new Promise((resolve, reject) => {
  consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
  consumer.run({
    eachMessage: async ({ partition, message }) => {
      records[`${topic}/${partition}/${message.offset}`] = {
        key: message.key?.toString('base64') ?? null,
        value: message.value?.toString('base64') ?? null,
        headers: Object.keys(message.headers ?? {}).length,
      };
      if (Object.keys(records).length >= wanted) resolve();
    },
  }).catch(reject);
});
await consumer.disconnect();
let refused = '';
try {
  const stranger = new Kafka(options('wrong')).admin();
  await stranger.connect();
  await stranger.disconnect();
} catch (error) {
  refused = error.name;
}
print({ records, refused });
