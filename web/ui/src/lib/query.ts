// What a person types into the search box, understood: an id, a position, an
// address of ours, or filters. Pure, and never fails: what it cannot read
// comes back as an error that says what to type instead.

/** The filters, by the names the box takes. */
export const fieldNames = ["topic", "type", "service", "stage", "status", "after", "before", "id"] as const;
export type FieldName = (typeof fieldNames)[number];

/** Parameters of GET /records. */
export interface Filters {
  topic?: string[];
  event_type?: string;
  service?: string;
  stage?: string;
  status?: string;
  from?: string;
  to?: string;
  id?: string;
}

export type Query =
  | { kind: "recent" }
  | { kind: "id"; id: string }
  | { kind: "position"; topic: string; partition: number; offset: number }
  | { kind: "address"; to: string }
  | { kind: "filters"; filters: Filters }
  | { kind: "error"; message: string };

const stages = ["unknown", "ingestion", "enrichment", "transformation", "delivery", "dead-letter", "replay"];
const statuses = ["committed", "aborted", "control", "all"];

/** Words of a text; double quotes hold spaces together. */
export function words(text: string): string[] {
  const out: string[] = [];
  for (const m of text.matchAll(/(?:[^\s"]|"[^"]*"?)+/g)) out.push(m[0].replaceAll('"', ""));
  return out;
}

/** Understand a text. origin is the explorer's own, for pasted addresses. */
export function parseQuery(text: string, origin = "", now = Date.now()): Query {
  const trimmed = text.trim();
  if (trimmed === "") return { kind: "recent" };
  const own = ownAddress(trimmed, origin);
  if (own) return { kind: "address", to: own };
  const at = /^([^\s/:]+)\/(\d{1,10})\/(\d{1,19})$/.exec(trimmed);
  if (at) return { kind: "position", topic: at[1]!, partition: Number(at[2]), offset: Number(at[3]) };

  const parts = words(trimmed);
  const filters: Filters = {};
  const free: string[] = [];
  for (const part of parts) {
    const split = /^([a-z_]+):(.*)$/i.exec(part);
    const name = split?.[1]?.toLowerCase();
    if (!split || !(fieldNames as readonly string[]).includes(name!)) {
      free.push(part);
      continue;
    }
    const error = setField(filters, name as FieldName, split[2]!, now);
    if (error) return { kind: "error", message: error };
  }
  const filtered = Object.keys(filters).length > 0;
  if (free.length === 1 && !filtered) return { kind: "id", id: free[0]! };
  if (free.length > 1) return { kind: "error", message: freeMessage(free) };
  if (free.length === 1) {
    const wrong = /^([a-z_]+):/i.exec(free[0]!)?.[1];
    if (wrong) return { kind: "error", message: unknownField(wrong) };
    if (filters.id) return { kind: "error", message: `Two ids: ${filters.id} and ${free[0]}. One search takes one.` };
    filters.id = free[0]!;
  }
  if (filters.from && filters.to && filters.from >= filters.to) {
    return { kind: "error", message: "after: is not before before:, so nothing can lie between them." };
  }
  return { kind: "filters", filters };
}

function setField(filters: Filters, name: FieldName, value: string, now: number): string | undefined {
  if (value === "") return `${name}: needs a value, such as ${example(name)}.`;
  switch (name) {
    case "topic":
      filters.topic = [...(filters.topic ?? []), ...value.split(",").filter(Boolean)];
      return undefined;
    case "type": filters.event_type = value; return undefined;
    case "service": filters.service = value; return undefined;
    case "id": filters.id = value; return undefined;
    case "stage":
      filters.stage = value.toLowerCase();
      return stages.includes(filters.stage) ? undefined : `stage: is one of ${stages.join(", ")}.`;
    case "status":
      filters.status = value.toLowerCase();
      return statuses.includes(filters.status) ? undefined : `status: is one of ${statuses.join(", ")}.`;
    case "after":
    case "before": {
      const time = parseTime(value, now);
      if (!time) return `${name}: takes a date (2008-10-24), a time (2008-10-24T14:15Z) or an age (15m, 2h, 7d), and "${value}" is none of them.`;
      if (name === "after") filters.from = time;
      else filters.to = time;
      return undefined;
    }
  }
}

/** An instant from a date, a date-time (UTC unless it says otherwise), or an age. */
export function parseTime(text: string, now = Date.now()): string | undefined {
  const age = /^-?(\d+)(s|m|h|d|w|y)$/.exec(text);
  if (age) {
    const unit = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, y: 31_557_600 }[age[2] as "s"];
    const at = now - Number(age[1]) * unit * 1000;
    return at > -62_135_596_800_000 ? new Date(at).toISOString() : undefined;
  }
  if (text === "now") return new Date(now).toISOString();
  const form = /^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}:\d{2})?)?)?)?$/.exec(text);
  if (!form) return undefined;
  const [, y, mo = "01", d = "01", time = "00:00", zone = "Z"] = form;
  const at = new Date(`${y}-${mo}-${d}T${time}${zone}`);
  // A day that does not exist (2008-02-31) would roll over silently.
  if (Number.isNaN(at.getTime())) return undefined;
  if (new Date(`${y}-${mo}-${d}T00:00Z`).getUTCDate() !== Number(d)) return undefined;
  return at.toISOString();
}

function ownAddress(text: string, origin: string): string | undefined {
  if (!/^https?:\/\//i.test(text)) return undefined;
  try {
    const url = new URL(text);
    if (url.origin !== origin) return undefined;
    return url.pathname + url.search;
  } catch {
    return undefined;
  }
}

function example(name: FieldName): string {
  return { topic: "topic:fx.rates.received", type: "type:FxRateEnriched", service: "service:risk-engine", stage: "stage:enrichment", status: "status:aborted", after: "after:2008-09-15", before: "before:2008-10-01", id: "id:4bf92f35…" }[name];
}

function freeMessage(free: string[]): string {
  const wrong = free.map((f) => /^([a-z_]+):/i.exec(f)?.[1]).find(Boolean);
  if (wrong) return unknownField(wrong);
  return `A search takes one id, and here are ${free.length} words. Filters are written field:value, for example topic:fx.rates.received.`;
}

function unknownField(name: string): string {
  const near = fieldNames.find((f) => distance(f, name.toLowerCase()) <= 2);
  return `There is no filter ${name}:${near ? ` Did you mean ${near}:?` : ""} The filters are ${fieldNames.map((f) => `${f}:`).join(" ")}`;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}
