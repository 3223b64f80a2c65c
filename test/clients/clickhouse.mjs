// Counts the index's records by topic with ClickHouse's own client.
import { createClient } from '@clickhouse/client';
import { print, up } from './up.mjs';

const options = (password) => ({
  url: up.clickhouse.url, database: up.clickhouse.database, username: up.clickhouse.user, password,
});
const client = createClient(options(up.clickhouse.password));
const answer = await client.query({
  query: 'SELECT topic, toUInt32(count()) AS records FROM records FINAL WHERE status = {status:String} GROUP BY topic ORDER BY topic',
  query_params: { status: 'committed' },
  format: 'JSONEachRow',
});
const counts = Object.fromEntries((await answer.json()).map(({ topic, records }) => [topic, records]));
await client.close();
let refused = '';
const stranger = createClient(options('wrong'));
try {
  await (await stranger.query({ query: 'SELECT 1' })).text();
} catch (error) {
  refused = error.code ?? error.message;
}
await stranger.close();
print({ counts, refused });
