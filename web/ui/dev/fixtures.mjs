// A made-up archive that answers the API's paths, for work on the explorer
// without a server. Shapes follow schema/openapi.yaml; everything is a pure
// function of a seed, so that pictures can be compared. Not part of the build.

const currencies = "USD JPY BGN CZK DKK GBP HUF PLN RON SEK CHF ISK NOK HRK RUB TRY AUD BRL CAD CNY HKD IDR INR KRW MXN MYR NZD PHP SGD THB ZAR".split(" ");
const portfolios = ["asia-growth", "emerging", "majors"];
const services = { received: "ecb-gateway", enriched: "rate-enricher", volatility: "risk-engine", exposure: "risk-engine", alerts: "risk-alerts", dlq: "ecb-gateway" };
const topicIDs = {};

let state = 1;
function random() {
  state = (state * 1664525 + 1013904223) >>> 0;
  return state / 2 ** 32;
}
const hex = (n) => Array.from({ length: n }, () => Math.floor(random() * 16).toString(16)).join("");
const round = (x, n = 4) => Number(x.toFixed(n));
const iso = (ms) => new Date(ms).toISOString();
const topicID = (topic) => (topicIDs[topic] ??= Buffer.from(hex(32), "hex").toString("base64url"));
const partitionOf = (key) => [...key].reduce((n, c) => n + c.charCodeAt(0), 0) % 3;

const offsets = {};
function coordinates(topic, key) {
  const partition = partitionOf(key);
  const slot = `${topic}/${partition}`;
  offsets[slot] = (offsets[slot] ?? 41200) + 1;
  return { topic, topic_id: topicID(topic), partition, branch: 0, offset: offsets[slot] };
}

const records = []; // { hit, key, value, headers, causes, parents }
const traces = new Map(); // id -> records

function add({ topic, key, at, stage, rule, type, version = "2", service, trace, value, headers = [], parents = [], sealed = true, status = "committed" }) {
  const record = {
    hit: {
      coordinates: coordinates(topic, key), timestamp: iso(at), event_time: iso(at), status, sealed, stage,
      event_type: type, event_version: version, source_service: service, trace_id: trace, event_id: hex(32), span_id: hex(16),
      errors: [], bytes: JSON.stringify(value).length + 96,
    },
    stage_rule: rule, key, value, headers, parents,
  };
  records.push(record);
  if (!traces.has(trace)) traces.set(trace, []);
  traces.get(trace).push(record);
  return record;
}

const rates = Object.fromEntries(currencies.map((c) => [c, 0.8 + random() * 20]));
const windows = Object.fromEntries(currencies.map((c) => [c, []]));

function day(date, { sealed = true, alert = false, dead = false, version = "2" } = {}) {
  const trace = hex(32);
  const start = Date.parse(`${date}T14:15:00.000Z`);
  const base = { run: 1, fixingDate: date, base: "EUR" };
  const contract = (type, service, at) => ({ eventId: hex(32), eventType: type, eventVersion: Number(version), sourceService: service, traceId: trace, timestamp: iso(at) });
  const today = [];
  for (const [i, currency] of currencies.entries()) {
    const at = start + i;
    const previous = rates[currency];
    rates[currency] = previous * (1 + (random() - 0.5) * 0.02);
    const value = { ...contract("FxRateReceived", services.received, at), ...base, sequence: 4200 + i, currency, rate: round(rates[currency]), ratesInFixing: currencies.length, provider: "ECB", file: "eurofxref-hist.csv", line: 4411, fixing: "ECB 14:15 CET" };
    const received = add({ topic: "fx.rates.received", key: currency, at, stage: "ingestion", rule: "no parent in the archive", type: "FxRateReceived", version, service: services.received, trace, sealed, value, headers: [["traceparent", `00-${trace}-${hex(16)}-01`]] });
    const enrichedValue = { ...value, ...contract("FxRateEnriched", services.enriched, at + 50), currencyName: `${currency} currency`, region: ["Europe", "Asia", "Americas"][i % 3], previousFixingDate: "2026-03-12", previousRate: round(previous), changePercent: round((rates[currency] / previous - 1) * 100) };
    const enriched = add({ topic: "fx.rates.enriched", key: currency, at: at + 50 + Math.floor(random() * 9), stage: "enrichment", rule: "computed: all of the parent's fields kept, 5 added", type: "FxRateEnriched", version, service: services.enriched, trace, sealed, value: enrichedValue, headers: [["ce_id", enrichedValue.eventId], ["ce_type", "FxRateEnriched"], ["ce_source", "/market-data/rate-enricher"], ["ce_specversion", "1.0"], ["ce_traceparent", `00-${trace}-${hex(16)}-01`]], parents: [{ record: received, kind: "inferred", declared: false, rule: "same trace, the topic that feeds this one, same key", evidence: "topology fx.rates.received → fx.rates.enriched", confidence: 0.82, primary: true }] });
    today.push(enriched);
    windows[currency].push({ event: enriched.hit.event_id, trace, at: enriched.hit.timestamp, coordinates: enriched.hit.coordinates });
    if (windows[currency].length > 20) windows[currency].shift();
    const cause = windows[currency].slice(0, -1).map((w) => ({ outside: { ghost: false, id: w.event, trace_id: w.trace, timestamp: w.at, event_type: "FxRateEnriched", coordinates: w.coordinates }, kind: "caused_by", declared: true, rule: "causation id names an archived event", evidence: "header causationId", confidence: 1 }));
    const volValue = { run: 1, fixingDate: date, currency, rate: round(rates[currency]), changePercent: enrichedValue.changePercent, windowDays: 20, windowFrom: "2026-02-16", volatilityPercent: round(0.2 + random() * 0.6), priorVolatilityPercent: round(0.2 + random() * 0.6), sigmas: round((random() - 0.5) * 4, 2), annualisedVolatilityPercent: round(4 + random() * 8) };
    const vol = add({ topic: "fx.risk.volatility", key: currency, at: at + 110 + Math.floor(random() * 25), stage: "transformation", rule: "computed: fields of the parent dropped", type: "FxVolatilityComputed", version, service: services.volatility, trace, sealed, value: volValue, headers: [["eventType", "FxVolatilityComputed"], ["eventVersion", version], ["sourceService", "risk-engine"], ["traceId", trace], ...cause.map((c) => ["causationId", c.outside.id])], parents: [...cause, { record: enriched, kind: "caused_by", declared: true, rule: "causation id names an archived event", evidence: "header causationId", confidence: 1, primary: true }] });
    if (alert && (currency === "TRY" || currency === "ZAR")) {
      add({ topic: "fx.risk.alerts", key: currency, at: at + 190, stage: "transformation", rule: "computed: fields of the parent dropped", type: "FxRiskAlertRaised", version, service: services.alerts, trace, sealed, value: { ...contract("FxRiskAlertRaised", services.alerts, at + 190), ...base, kind: "currency", subject: currency, changePercent: -3.41, volatilityPercent: 0.7, sigmas: -4.87, threshold: 4, message: `${currency} moved -3.41 % in a day, 4.87 times its volatility`, severity: "high" }, headers: [["traceparent", `00-${trace}-${hex(16)}-01`], ["x-src-topic", "fx.risk.volatility"], ["x-src-partition", String(vol.hit.coordinates.partition)], ["x-src-offset", String(vol.hit.coordinates.offset)]], parents: [{ record: vol, kind: "derived_from", declared: true, rule: "input coordinates", evidence: "headers x-src-topic, x-src-partition, x-src-offset", confidence: 1, primary: true }] });
    }
  }
  if (dead) {
    add({ topic: "fx.rates.received.dlq", key: "ISK", at: start + 40, stage: "dead-letter", rule: "topic rule: *.dlq", type: "FxRateRejected", version, service: services.dlq, trace, sealed, value: { cell: "", currency: "ISK", line: 4411, error: "no quote between the first and the last one" }, headers: [["error.class", "MissingQuote"], ["error.message", "no quote between the first and the last one"], ["attempt", "1"], ["traceId", trace]] });
  }
  for (const [i, portfolio] of portfolios.entries()) {
    const at = start + 200 + i;
    add({ topic: "fx.risk.exposure", key: portfolio, at, stage: "transformation", rule: "computed: fields of the parent dropped", type: "FxExposureValued", version, service: services.exposure, trace, sealed: sealed && i < 2, value: { run: 1, fixingDate: date, portfolio, valueEur: round(1e8 + random() * 5e7, 2), changePercent: round(random() - 0.5), priorVolatilityPercent: 0.31, sigmas: -0.4, positions: 31, ratesInFixing: 31, largestPosition: { currency: "USD", sharePercent: 22.4 } }, headers: [["eventType", "FxExposureValued"], ["sourceService", "risk-engine"], ["traceId", trace], ...today.map((t) => ["causationId", t.hit.event_id])], parents: today.map((t, n) => ({ record: t, kind: "caused_by", declared: true, rule: "causation id names an archived event", evidence: "header causationId", confidence: 1, primary: n === 0 })) });
  }
  return trace;
}

for (let i = 1; i <= 22; i++) day(`2026-02-${String(i).padStart(2, "0")}`, { dead: i === 9 });
const main = day("2026-03-13", { alert: true });
const newest = day("2026-04-10", { sealed: false, alert: true });
{
  // A record without anything that Annals knows, and one that names a ghost.
  const at = Date.parse("2026-03-13T15:00:00Z");
  const trace = hex(32);
  add({ topic: "orders.binary", key: "order-4711", at, stage: "unknown", rule: "nothing declared, nothing to compute from", type: "", version: "", service: "", trace: "", value: Buffer.from(hex(240), "hex"), headers: [["streams.bootstrap.lineage.offset", Buffer.from("000000000000a0f1", "hex")], ["empty", null]] });
  traces.delete("");
  const first = add({ topic: "orders.created", key: "4711", at: at + 4, stage: "ingestion", rule: "no parent in the archive", type: "OrderCreated", version: "1", service: "checkout", trace, value: { orderId: 4711, total: { amount: "1250.00", currency: "EUR" }, lines: [{ sku: "A-1", quantity: 2 }] }, parents: [{ outside: { ghost: true, id: "5f0c…cart" }, kind: "caused_by", declared: true, rule: "causation id names nothing archived", evidence: "header causationId", confidence: 1 }] });
  add({ topic: "orders.priced", key: "4711", at: at + 2400, stage: "enrichment", rule: "computed", type: "OrderPriced", version: "1", service: "pricing", trace, sealed: false, value: { orderId: 4711, total: { amount: "1250.00", currency: "EUR", vat: "199.58" }, lines: [{ sku: "A-1", quantity: 2, price: "625.00" }] }, parents: [{ record: first, kind: "inferred", declared: false, rule: "same trace, latest earlier event", evidence: "event time", confidence: 0.41, primary: true }] });
}
records.sort((a, b) => b.hit.timestamp.localeCompare(a.hit.timestamp));

/** Ids that pictures and tests start from. */
export const samples = { trace: main, fresh: newest, ghost: records.find((r) => r.hit.event_type === "OrderCreated").hit.trace_id, key: "USD" };

const searched = () => ({ topics: 9, records: records.length * 289, fresh_to: iso(Date.parse(records[0].hit.timestamp) + 60), sealed_to: iso(Date.parse(records[0].hit.timestamp) - 4000) });

const envelope = new Set(["/eventId", "/eventType", "/eventVersion", "/sourceService", "/timestamp", "/traceId"]);
function compare(before, after, at = "", out = []) {
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const path = `${at}/${name}`;
    const [from, to] = [before[name], after[name]];
    const mark = envelope.has(path) ? { envelope: true } : {};
    if (!(name in after)) out.push({ op: "remove", path, from, ...mark });
    else if (!(name in before)) out.push({ op: "add", path, to, ...mark });
    else if (from && to && typeof from === "object" && typeof to === "object") compare(from, to, path, out);
    else if (from !== to) out.push({ op: "change", path, from, to, ...mark });
  }
  return out;
}

function asBytes(value) {
  if (value === null || value === undefined) return { is_null: true, size: 0, format: "null", truncated: false };
  if (Buffer.isBuffer(value)) return { is_null: false, size: value.length, format: "binary", base64: value.toString("base64"), truncated: false };
  if (typeof value === "string") return { is_null: false, size: value.length, format: value ? "text" : "empty", text: value, truncated: false };
  const text = JSON.stringify(value);
  return { is_null: false, size: text.length, format: "json", json: value, text, truncated: false };
}

function trace(id, diffs, factsOnly) {
  const list = [...traces.get(id)];
  const index = new Map(list.map((r, i) => [r, i]));
  const edges = [];
  const depth = list.map(() => 0);
  for (const [child, r] of list.entries()) {
    for (const { record, outside, ...edge } of r.parents) {
      if (factsOnly && !edge.declared) continue;
      if (record) depth[child] = Math.max(depth[child], depth[index.get(record)] + 1);
      edges.push({ child, ...(record ? { parent: index.get(record) } : { outside }), primary: false, ...edge });
    }
  }
  const order = list.map((_, i) => i).sort((a, b) => depth[a] - depth[b] || list[a].hit.timestamp.localeCompare(list[b].hit.timestamp));
  const place = new Map(order.map((from, to) => [from, to]));
  const hops = order.map((i) => {
    const r = list[i];
    const primary = edges.find((e) => e.child === i && e.primary);
    const hop = { ...r.hit, stage_rule: r.stage_rule, depth: depth[i], key: asBytes(r.key) };
    if (diffs && primary) hop.diff = { parent: place.get(primary.parent), comparable: true, truncated: false, changes: compare(list[primary.parent].value, r.value) };
    return hop;
  });
  for (const e of edges) {
    e.child = place.get(e.child);
    if (e.parent !== undefined) e.parent = place.get(e.parent);
  }
  const times = hops.map((h) => h.timestamp).sort();
  return {
    trace_id: id, from: times[0], to: times.at(-1), hops, edges,
    topics: [...new Set(hops.map((h) => h.coordinates.topic))], services: [...new Set(hops.map((h) => h.source_service).filter(Boolean))],
    sealed: hops.filter((h) => h.sealed).length, ghosts: edges.filter((e) => e.outside?.ghost).length,
    outside_parents: edges.filter((e) => e.outside && !e.outside.ghost).length, truncated: false, searched: searched(),
  };
}

const valueAt = (value, pointer) => pointer.split("/").slice(1).reduce((at, name) => at?.[name.replaceAll("~1", "/").replaceAll("~0", "~")], value);

function field(id, pointer) {
  const t = trace(id, true, false);
  const held = t.hops.map((h) => { const { value } = find(h.coordinates.topic, h.coordinates.partition, h.coordinates.offset); return Buffer.isBuffer(value) ? null : valueAt(value, pointer); });
  const steps = t.hops.map((h, hop) => {
    const { diff, stage_rule, depth, key, ...record } = h;
    const [now, before] = [held[hop], diff && held[diff.parent]];
    const change = now === null ? "unread" : !diff ? (now === undefined ? "absent" : "first") : now === undefined ? (before === undefined ? "absent" : "removed") : before === undefined ? "added" : JSON.stringify(now) === JSON.stringify(before) ? "kept" : "changed";
    return { hop, record, change, ...(diff ? { parent: diff.parent } : {}), ...(now === null ? { note: "the payload is no JSON" } : now === undefined ? {} : { value: now }) };
  });
  return { trace_id: id, pointer, steps, truncated: false, searched: searched() };
}

function verdict(id, topics) {
  const t = id && trace(id, false, true);
  const list = coverage().filter((p) => (t ? t.topics : topics).includes(p.topic));
  const unsealed = t ? t.hops.length - t.sealed : 0;
  const gaps = list.some((p) => p.gaps.length) && !t ? [{ class: "before_log_start", ranges: 1, offsets: 40 }] : [];
  const reasons = [...(t?.ghosts ? ["ghosts"] : []), ...(gaps.length ? ["gaps"] : []), ...(unsealed ? ["unsealed"] : [])];
  return { complete: reasons.length === 0, reasons, ...(t ? { trace_id: id, from: t.from, to: t.to, hops: t.hops.length, ghosts: t.ghosts, unsealed_hops: unsealed } : {}), gaps, unsealed, behind: 0, notes: [], partitions: list.map((p, i) => ({ topic: p.topic, topic_id: p.topic_id, partition: p.partition, from: 0, to: p.archived_to, sealed_to: p.archived_to, unsealed: i === 0 ? unsealed : 0, behind: 0, gaps: t ? [] : p.gap_classes })) };
}

function summary() {
  const by = new Map();
  for (const r of records) {
    const t = r.hit.coordinates.topic;
    const s = by.get(t) ?? { sealed: 0, fresh: 0, bytes: 0, first: r.hit.timestamp, last: r.hit.timestamp };
    s[r.hit.sealed ? "sealed" : "fresh"]++;
    s.bytes += r.hit.bytes;
    if (r.hit.timestamp < s.first) s.first = r.hit.timestamp;
    if (r.hit.timestamp > s.last) s.last = r.hit.timestamp;
    by.set(t, s);
  }
  const live = { "fx.rates.received": 31, "fx.rates.enriched": 31, "fx.risk.volatility": 31, "fx.risk.exposure": 3 };
  const topics = [...by].map(([topic, s]) => ({
    topic, topic_id: topicID(topic), partitions: 3, sealed_records: s.sealed * 289, fresh_records: s.fresh, bytes: s.bytes * 289, segments: 6 + topic.length % 5,
    lag: live[topic] ? Math.floor((Date.now() / 700) % 9) : 0, rate_per_second: live[topic] ? live[topic] * (0.75 + 0.25 * Math.sin(Date.now() / 3000 + topic.length)) : 0,
    first_timestamp: s.first, last_timestamp: s.last, archived: true, detail: "",
  }));
  topics.push({ topic: "__consumer_offsets", topic_id: topicID("__consumer_offsets"), partitions: 50, sealed_records: 0, fresh_records: 0, bytes: 0, segments: 0, lag: 0, rate_per_second: 0, archived: false, detail: "excluded by the configuration" });
  return topics.sort((a, b) => a.topic.localeCompare(b.topic));
}

const coverage = (topic) => summary().filter((t) => t.archived && (!topic || t.topic === topic)).flatMap((t) => [0, 1, 2].map((partition) => {
  const to = 41300 + Math.floor(t.sealed_records / 3);
  const gaps = partition === 1 ? [{ class: "before_log_start", from: 0, to: 40, branch: 0, commit: 1, found: iso(Date.now() - 86_400_000), evidence: "fetch: OFFSET_OUT_OF_RANGE; ListOffsets: log start 40" }] : [];
  const aborted = t.topic.startsWith("fx.risk") ? 18 : 0;
  const gap_offsets = gaps.length * 40;
  return { topic: t.topic, topic_id: t.topic_id, partition, branch: 0, archived_from: 0, archived_to: to, fresh_to: to + t.fresh_records, high_watermark: to + t.fresh_records + t.lag, lag: t.lag, start_policy: "earliest", log_start_at_genesis: 0, offsets: to, counts: { committed: to - 24 - aborted - gap_offsets, aborted, control: 24 }, gaps, gap_ranges: gaps.length, gap_classes: gaps.map((g) => ({ class: g.class, ranges: 1, offsets: 40 })), gap_offsets, purged: 0, unaccounted: 0, branches: [], segments: 2, commits: 14, last_sealed: iso(Date.now() - 42_000), ended: false };
}));

const letter = (at, component, error, more = {}) => {
  const { topic, topic_id, partition, branch, offset } = records[at].hit.coordinates;
  const id = (0xabc0 + at).toString(16).padStart(16, "0");
  return { id, component, topic, topic_id, partition, branch, from: offset, to: offset + 1, error, attempts: 1 + at, first: iso(Date.now() - 7_200_000), last: iso(Date.now() - 60_000 * at), writer: "host/4711", build: "annals v0.1.0-dev", key: `jobs/dead-letters/cluster/${topic}/${topic_id}/0000${partition}/${String(offset).padStart(20, "0")}-${component}-${id}.json`, ...more };
};
const letters = [
  letter(0, "extraction", "the rules failed: index out of range [3] with length 3", { trace_id: records[0].hit.trace_id, event_id: records[0].hit.event_id }),
  letter(1, "index", "insert records: code 117: the row is refused"),
  letter(2, "reading", "the batch cannot be decoded: corrupt lz4 frame", { raw_key: "data/fx/0/00000000000000000002.batch", raw_bytes: 4711, raw_sha256: "ab".repeat(32) }),
];

// ---- contracts: the fixing's rates of version 1 lack a field ------------------

const registered = { FxRateReceived: ["1", "2"], FxRateEnriched: ["2"], FxRiskAlertRaised: ["1", "2"], FxFixingClosed: ["1"] };
const owners = { FxRateReceived: "market-data", FxRateEnriched: "market-data", FxVolatilityComputed: "fx-risk" };
function eventTypes(only) {
  const by = new Map([["FxFixingClosed", []]]);
  for (const r of records.filter((r) => r.hit.event_type && r.hit.sealed)) by.set(r.hit.event_type, [...(by.get(r.hit.event_type) ?? []), r]);
  const total = (list) => list.reduce((n, r) => n + r.hit.bytes, 0) * 289;
  const span = (list) => (list.length ? { first_timestamp: list.at(-1).hit.timestamp, last_timestamp: list[0].hit.timestamp } : {});
  return [...by].filter(([type]) => !only || type === only).sort().map(([type, list]) => {
    const each = (of) => [...new Set(list.map(of))].map((name) => [name, list.filter((r) => of(r) === name)]);
    const versions = each((r) => r.hit.event_version);
    const file = (v) => (registered[type]?.includes(v) ? { contract: `contracts/${type}-${v}.yaml` } : {});
    for (const v of registered[type] ?? []) if (!versions.some(([name]) => name === v)) versions.push([v, []]);
    return {
      event_type: type, ...(owners[type] ? { team: owners[type], team_by: `contracts/${type}-2.yaml` } : {}), ...(type === "FxRateReceived" ? { description: "one rate of a fixing, as the provider published it", max_delay_ms: 5000, sla: "99.9 % within the minute" } : {}),
      versions: versions.map(([event_version, of]) => ({ event_version, records: of.length * 289, ...span(of), ...file(event_version) })),
      producers: each((r) => r.hit.source_service).map(([service, of]) => ({ service, records: of.length * 289, declared: type in registered })),
      consumers: type === "FxRateReceived" ? [{ group: "rate-enricher", topics: ["fx.rates.received"] }] : [], consumers_known: type !== "OrderCreated",
      topics: each((r) => r.hit.coordinates.topic).map(([topic, of]) => ({ topic, records: of.length * 289, declared: type in registered })),
      records: list.length * 289, bytes: total(list), with_errors: broken.filter((v) => v.event_type === type).reduce((n, v) => n + v.records, 0), ...span(list),
      ...(only && registered[type] ? { schema: { type: "object", required: ["currency", "rate"], properties: { currency: { type: "string" }, rate: { type: "number", exclusiveMinimum: 0 } } } } : {}),
      ...(only && list.length ? { sample: list[0].hit } : {}),
    };
  });
}
const violation = (type, rule, n, of = records.find((r) => r.hit.event_type === type).hit) => ({ topic: of.coordinates.topic, event_type: type, event_version: of.event_version, source_service: of.source_service, rule, ...(owners[type] ? { team: owners[type] } : {}), records: n, first_timestamp: iso(Date.parse(of.timestamp) - 86_400_000), last_timestamp: of.timestamp, newest: of.coordinates });
const broken = [violation("FxRateReceived", "contract:exclusiveMinimum:/rate", 412), violation("FxRateReceived", "contract:required:/provider", 31), violation("FxRateEnriched", "contract:type:/legs/*/amount", 2)];

// ---- anomalies: each kind once, and one check that has too little to go by ----

function anomalies(at) {
  const to = Math.floor((Date.parse(at || newestAt) - 1_800_000) / 3_600_000) * 3_600_000;
  const hour = { from: iso(to - 3_600_000), to: iso(to) };
  const found = at ? [] : [
    { kind: "throughput_drop", topic: "fx.rates.enriched", team: "market-data", component: "rate-enricher", ...hour, value: 12, expected: 1860, evidence: "12 records in the hour; in the same hour of the 7 days before a median of 1860, a week ago 1891. The traces are the last before its end", traces: [main, newest] },
    { kind: "schema_mismatch", topic: "fx.rates.received", team: "market-data", component: "ecb-gateway", event_type: "FxRateReceived", ...hour, value: 412, expected: 18.6, evidence: "412 of the topic's 1860 records in the hour, of type FxRateReceived version 2, break contract:exclusiveMinimum:/rate", traces: [main] },
    { kind: "lag", topic: "fx.risk.exposure", partition: 2, component: "archiver", ...hour, value: 31, expected: 0, evidence: "31 records, with times more than 30m0s ago, are indexed and not sealed", traces: [] },
    { kind: "unexplained_gap", topic: "orders.created", partition: 0, component: "kafka", ...hour, value: 4, expected: 0, evidence: "offsets 41203 to 41207: fetch skipped them, and nothing says why", traces: [] },
  ];
  const check = (kind, more = {}) => ({ kind, state: found.some((a) => a.kind === kind) ? "anomalies" : "ok", judged: 6, indeterminate: 0, ...more });
  return { at: at || newestAt, ...hour, checks: [check("throughput_drop", { indeterminate: 2, note: "2 topics have too few days to compare with" }), check("dead_letter_rise", { state: "indeterminate", judged: 0, indeterminate: 1, note: "1 dead letter topics have too few days to compare with" }), check("schema_mismatch"), check("lag"), check("unexplained_gap")], anomalies: found, truncated: false };
}
const newestAt = records[0].hit.timestamp;

// ---- replays: a job runs for a few seconds of the real clock ------------------

const plans = new Map();
const jobs = new Map();
function plan(request) {
  const chosen = request.trace_id ? (traces.get(request.trace_id) ?? []) : records.filter((r) => request.topics?.includes(r.hit.coordinates.topic) && (!request.from || r.hit.timestamp >= request.from) && (!request.to || r.hit.timestamp < request.to));
  if (chosen.length === 0) return undefined;
  let sum = 7;
  for (const c of JSON.stringify(request)) sum = (sum * 31 + c.charCodeAt(0)) >>> 0;
  const id = sum.toString(16).padStart(8, "0").repeat(8);
  const prefix = request.target_prefix || `replay.${id.slice(0, 8)}.`;
  const by = new Map();
  for (const r of chosen.filter((r) => r.hit.sealed)) {
    const t = by.get(r.hit.coordinates.topic) ?? { records: 0, bytes: 0 };
    t.records++;
    t.bytes += r.hit.bytes;
    by.set(r.hit.coordinates.topic, t);
  }
  const topics = [...by].map(([source, t]) => ({ source, topic_id: topicID(source), target: prefix + source, partitions: 3, ...t }));
  const p = { id, created: iso(Date.now()), request, topics, records: topics.reduce((n, t) => n + t.records, 0), bytes: topics.reduce((n, t) => n + t.bytes, 0), segments: topics.length * 2, from: chosen.at(-1).hit.timestamp, to: chosen[0].hit.timestamp, estimated_seconds: 6, warnings: chosen.some((r) => !r.hit.sealed) ? ["1 matching record is not sealed yet and is left out"] : [] };
  plans.set(id, p);
  return p;
}
function job(id) {
  const j = jobs.get(id);
  if (!j) return undefined;
  const p = plans.get(id);
  const seconds = (Date.now() - j.started) / 1000;
  const share = j.cancelled ? j.cancelled : Math.min(1, seconds / 4);
  const state = j.cancelled ? "cancelled" : seconds < 4 ? "running" : seconds < 5.5 ? "reconciling" : "done";
  const out = { id, state, plan: p, pace: j.pace ?? { mode: "fast" }, requested_by: "development", planned: p.records, produced: Math.floor(p.records * share), read_back: state === "done" ? p.records : 0, started: iso(j.started), updated: iso(Date.now()) };
  if (state === "running") out.eta_seconds = 5.5 - seconds;
  if (state === "done") {
    out.finished = iso(j.started + 5500);
    const hash = (s) => Buffer.from(s.padEnd(32, "*").slice(0, 32)).toString("hex");
    out.receipt = { planned: p.records, produced: p.records, read_back: p.records, matches: true, exclusive: true, notes: [], partitions: p.topics.flatMap((t) => [0, 1, 2].map((partition) => ({ source: t.source, target: t.target, partition, planned: Math.floor(t.records / 3), read_back: Math.floor(t.records / 3), planned_hash: hash(`${partition}${t.source}`), read_back_hash: hash(`${partition}${t.source}`), matches: true }))) };
  }
  return out;
}

/** A job as it changes, as server-sent events, until it has ended. */
function follow(request, response, id) {
  if (!jobs.has(id)) return problem(response, 404, { title: "No such replay", detail: `There is no job ${id}.` });
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  let timer;
  const tell = () => {
    const j = job(id);
    response.write(`event: job\ndata: ${JSON.stringify(j)}\n\n`);
    if (j.state !== "done" && j.state !== "cancelled") return;
    clearInterval(timer);
    response.end("event: end\ndata: {}\n\n");
  };
  timer = setInterval(tell, 500);
  request.on("close", () => clearInterval(timer));
  tell();
}

function identify(id) {
  const roles = [
    ["trace", (r) => r.hit.trace_id === id], ["event", (r) => r.hit.event_id === id], ["span", (r) => r.hit.span_id === id],
    ["causation", (r) => r.parents.some((p) => (p.record?.hit.event_id ?? p.outside?.id) === id && p.declared)],
  ];
  const matches = [];
  for (const [role, is] of roles) {
    const found = records.filter(is);
    if (found.length) matches.push({ role, count: found.length, ...(role === "trace" ? { trace_id: id } : {}), records: found.slice(0, 20).map((r) => r.hit) });
  }
  return { id, forms: [/^[0-9a-f]{32}$/i.test(id) ? "128 bits in hex" : "text"], tried: [id, id.toLowerCase()], truncated: false, matches, searched: searched() };
}

function problem(response, status, fields) {
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify({ type: "urn:annals:error:fixture", status, ...fields }));
}

async function body(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text ? JSON.parse(text) : {};
}

const find = (topic, partition, offset) => records.find(({ hit: { coordinates: c } }) => c.topic === topic && c.partition === Number(partition) && c.offset === Number(offset));

/** Terms of q as parameters of their own; a little of what package term does. */
function asTerms(q) {
  const fields = { topic: "topic", type: "event_type", service: "service", stage: "stage", after: "from", before: "to", id: "id", status: "status", version: "version", violation: "violation" };
  for (const m of q.get("q").matchAll(/\S+/g)) {
    const [, name, value] = /^([a-z_.-]+):(.*)$/i.exec(m[0]) ?? [undefined, "id", m[0]];
    if (!fields[name]) return { at: m.index + 1, detail: `character ${m.index + 1}: there is no field "${name}" (did you mean topic?); the fields are ${Object.keys(fields).join(", ")}` };
    for (const one of name === "topic" ? value.split(",") : [value]) q.append(fields[name], one);
  }
  return undefined;
}

/** Answer one request below /api/v1. ANNALS_FIXTURES=empty shows an archive without records. */
const switches = [];

export async function handle(request, response) {
  const url = new URL(request.url, "http://fixtures");
  const path = url.pathname.replace(/^\/api\/v1/, "").split("/").filter(Boolean).map(decodeURIComponent);
  const q = url.searchParams;
  const empty = process.env.ANNALS_FIXTURES === "empty";
  const send = (value, status = 200) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(value));
  };
  await new Promise((resolve) => setTimeout(resolve, Number(process.env.ANNALS_FIXTURES_DELAY ?? 20)));
  const post = request.method === "POST";
  switch (path[0]) {
    case "status":
      return send({ version: "v0.1.0-dev", now: iso(Date.now()), ready: true, roles: ["archive", "serve"], demo: !empty, dependencies: [{ name: "kafka", ready: true, detail: "127.0.0.1:19092, 1 broker" }, { name: "store", ready: true, detail: "s3://annals on 127.0.0.1:19000" }, { name: "index", ready: true, detail: "ClickHouse 26.7.3, embedded" }] });
    case "identify": {
      const found = identify(q.get("id").trim());
      if (found.matches.length === 0) return problem(response, 404, { title: "Nothing has this id", detail: `No record is, or names, ${q.get("id")}.`, searched: searched() });
      return send(found);
    }
    case "traces":
      if (!traces.has(path[1])) return problem(response, 404, { title: "No such trace", detail: `No record has the trace id ${path[1]}.`, hint: "Search for the id instead: it may be an event's or a span's.", searched: searched() });
      if (path[2] === "field") return send(field(path[1], q.get("pointer")));
      return send(trace(path[1], q.get("diffs") === "true", q.get("facts_only") === "true"));
    case "verdict": return send(verdict(q.get("trace_id"), q.getAll("topic")));
    case "records": {
      if (path[1] === "export") {
        const list = records.filter((r) => r.hit.sealed);
        response.writeHead(200, { "content-type": "application/x-ndjson", "content-disposition": `attachment; filename=annals-records.${q.get("format")}` });
        return response.end([...list.map((r) => r.hit), { statement: { records: list.length, complete: true } }].map((l) => `${JSON.stringify(l)}\n`).join(""));
      }
      if (path[1] === "scan" && path.length === 2) {
        const part = { segments: 1, of_segments: 2, records: 40, of_records: 80, bytes: 40_000, of_bytes: 80_000 };
        const whole = { ...part, segments: 2, records: 80, bytes: 80_000 };
        response.writeHead(200, { "content-type": "application/x-ndjson" });
        const lines = [...(empty ? [] : records.filter((r) => r.hit.sealed).slice(0, 3)).map((r) => ({ record: r.hit })), { progress: part }, { end: { read: whole, found: empty ? 0 : 3, complete: false, unsealed: 101, opaque: 0 } }];
        return response.end(lines.map((l) => `${JSON.stringify(l)}\n`).join(""));
      }
      if (path.length >= 4) {
        const r = find(path[1], path[2], path[3]);
        if (!r) return problem(response, 404, { title: "No such record", detail: `${path.slice(1, 4).join("/")} is not archived: the partition is archived from 0 to 41872.`, searched: searched() });
        if (path[4] === "value") {
          response.writeHead(200, { "content-type": "application/octet-stream", "content-disposition": "attachment" });
          return response.end(Buffer.isBuffer(r.value) ? r.value : JSON.stringify(r.value));
        }
        return send({ ...r.hit, ...(Buffer.isBuffer(r.value) ? { decoded: { schema_id: "7", detail: "the archive has no such schema", reason: "schema:unknown" } } : {}), key: asBytes(r.key), value: asBytes(r.value), headers: r.headers.map(([name, value]) => ({ name, value: asBytes(value), ...(name.endsWith("lineage.offset") ? { decoded: "41201" } : {}) })), leader_epoch: 0, timestamp_ms: String(Date.parse(r.hit.timestamp)), timestamp_type: "CreateTime", producer_id: "1004", producer_epoch: 0, causes: r.parents.map((p) => p.record?.hit.event_id ?? p.outside.id), identifiers: [{ role: "trace", id: r.hit.trace_id }, { role: "event", id: r.hit.event_id }, { role: "span", id: r.hit.span_id }], source: r.hit.sealed ? `data/${r.hit.coordinates.topic}/${r.hit.coordinates.topic_id}/0000${r.hit.coordinates.partition}/00000000000000041201-00000000000000041872-1f0c9a3b77e2d410.parquet` : "kafka" });
      }
      if (empty) return send({ records: [], searched: { topics: 0, records: 0, fresh_to: null } });
      if (q.get("q")) {
        const fault = asTerms(q);
        if (fault) return problem(response, 400, { title: "The request cannot be understood", field: "q", ...fault });
      }
      const list = records.filter(({ hit: h }) => !q.get("violation") && (!q.getAll("topic").length || q.getAll("topic").includes(h.coordinates.topic)) && (!q.get("event_type") || h.event_type === q.get("event_type")) && (!q.get("service") || h.source_service === q.get("service")) && (!q.get("stage") || h.stage === q.get("stage")) && (!q.get("from") || h.timestamp >= q.get("from")) && (!q.get("to") || h.timestamp < q.get("to")) && (!q.get("id") || [h.trace_id, h.event_id, h.span_id].includes(q.get("id"))));
      const at = Number(q.get("cursor") ?? 0);
      const limit = Number(q.get("limit") ?? 100);
      return send({ records: list.slice(at, at + limit).map((r) => r.hit), ...(at + limit < list.length ? { next_cursor: String(at + limit) } : {}), searched: searched() });
    }
    case "dead-letters": {
      const found = letters.filter((l) => (!q.get("topic") || l.topic === q.get("topic")) && (!q.get("component") || l.component === q.get("component")) && !empty);
      const counts = new Map();
      for (const { topic, component } of empty ? [] : letters) {
        const name = `${topic} ${component}`;
        counts.set(name, { topic, component, dead_letters: (counts.get(name)?.dead_letters ?? 0) + 1 });
      }
      return send({ dead_letters: found.slice(0, Number(q.get("limit") ?? 100)), total: found.length, counts: [...counts.values()], counts_left_out: 0 });
    }
    case "anomalies": return send(anomalies(empty ? iso(Date.now()) : q.get("at")));
    case "catalog": {
      const found = empty ? [] : eventTypes(q.get("event_type"));
      if (q.get("event_type") && found.length === 0) return problem(response, 404, { title: "No such event type", detail: `Nothing is known of ${q.get("event_type")}.` });
      return send({ event_types: found, more: false, notes: [] });
    }
    case "contracts": return send({ violations: empty ? [] : broken.filter((v) => (!q.get("topic") || v.topic === q.get("topic")) && (!q.get("event_type") || v.event_type === q.get("event_type")) && (!q.get("service") || v.source_service === q.get("service")) && (!q.get("rule") || v.rule.startsWith(q.get("rule")))), more: false });
    case "topics": return send({ topics: empty ? [] : summary(), notes: [] });
    case "coverage": return send({ partitions: coverage(q.get("topic")), not_archived: [{ topic: "__consumer_offsets", reason: "internal to Kafka" }], notes: [] });
    case "seal": return send({ partitions: 4, records: 101, waited: true });
    case "replays":
      if (path[1] === "plans") {
        const made = plan(await body(request));
        if (!made) return problem(response, 400, { title: "The selection is empty", detail: "No sealed record matches.", field: "trace_id", hint: "Widen the range, or seal what is fresh first." });
        return send(made);
      }
      if (path[1] === "stop" || path[1] === "start") {
        if (post) switches.push({ stopped: path[1] === "stop", by: request.headers["annals-user"] ?? "development", at: iso(Date.now()), reason: (await body(request)).reason });
        return send({ stopped: switches.at(-1)?.stopped === true, history: switches });
      }
      if (path[2] === "events") return follow(request, response, path[1]);
      if (path[2] === "pace") {
        jobs.get(path[1]).pace = await body(request);
        return send(job(path[1]));
      }
      if (path[2] === "cancel") {
        const j = job(path[1]);
        jobs.get(path[1]).cancelled = Math.max(0.01, j.produced / j.planned);
        return send(job(path[1]));
      }
      if (path[1]) {
        const j = job(path[1]);
        return j ? send(j) : problem(response, 404, { title: "No such replay", detail: `There is no job ${path[1]}.` });
      }
      if (post) {
        const { plan_id: id } = await body(request);
        if (!plans.has(id)) return problem(response, 404, { title: "No such plan", detail: "Plan it first.", field: "plan_id" });
        if (!jobs.has(id)) jobs.set(id, { started: Date.now() });
        return send(job(id), 202);
      }
      return send({ jobs: [...jobs.keys()].reverse().map(job), notes: [] });
    case "exports":
      response.writeHead(200, { "content-type": "application/x-tar" });
      return response.end("a bag would be here");
    default:
      return problem(response, 404, { title: "No such path", detail: url.pathname });
  }
}
