// What a person types into the search box: an id, a position, an address of
// ours, or terms. Terms are read by the server alone (package term), whose
// errors say which character is at fault. Pure, and never fails.
import type { SearchTerm } from "../api/types";

export type Query =
  | { kind: "recent" }
  | { kind: "id"; id: string }
  | { kind: "position"; topic: string; partition: number; offset: number }
  | { kind: "address"; to: string }
  | { kind: "terms" };

/** Understand a text. origin is the explorer's own, for pasted addresses. */
export function parseQuery(text: string, origin = ""): Query {
  const trimmed = text.trim();
  if (trimmed === "") return { kind: "recent" };
  const own = ownAddress(trimmed, origin);
  if (own) return { kind: "address", to: own };
  const at = /^([^\s/:"]+)\/(\d{1,10})\/(\d{1,19})$/.exec(trimmed);
  if (at) return { kind: "position", topic: at[1]!, partition: Number(at[2]), offset: Number(at[3]) };
  // One word that names no field is an id of any role; so is one in quotes.
  const quoted = /^"([^"\\]+)"$/.exec(trimmed);
  if (quoted) return { kind: "id", id: quoted[1]! };
  if (/[\s"]/.test(trimmed) || isTerm(trimmed)) return { kind: "terms" };
  return { kind: "id", id: trimmed };
}

/** Whether a search asks for keys, headers or payloads, which are read from the archive itself. */
export function readsBytes(text: string): boolean {
  return text.split('"').some((part, i) => i % 2 === 0 && /(^|\s)(key:|header\.|payload:|payload\/\S*=)/i.test(part));
}

function isTerm(word: string): boolean {
  if (/^(urn:|[a-z][a-z0-9+.-]*:\/\/)/i.test(word)) return false;
  return /^[a-z_.-]+:/i.test(word) || /^header\./i.test(word) || /^payload\/.*=/i.test(word);
}

/** What each term is, for those who complete it. */
export const terms: Record<SearchTerm, string> = {
  topic: "fx.rates.received, fx.risk.*, or several with commas",
  type: "FxRateEnriched, or FxRate*",
  version: "of the event's type",
  service: "risk-engine, or risk-*",
  partition: "its number",
  stage: "ingestion, enrichment, …",
  status: "committed, aborted, control, all",
  team: "who owns the topic",
  violation: "a rule that is broken, or contract:*",
  id: "any id",
  after: "2008-09-15, 2008-09-15T14:15Z, 7d",
  before: "2008-10-01, or an age",
  event_after: "by the event's own time",
  event_before: "likewise",
  key: "the whole key; reads the archive",
  payload: "a text in the value; reads the archive",
  "header.": "header.tenant=emea; reads the archive",
  "payload/": "payload/order/id=A-17; reads the archive",
};

/** A term as it is typed: what a space, colon or star would break or widen stands in quotes. */
export function term(field: SearchTerm, value: string): string {
  return `${field}:${/^[\p{L}\p{N}._/-]+$/u.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`}`;
}

const stages = ["ingestion", "enrichment", "transformation", "delivery", "dead-letter", "replay", "unknown"];
const statuses = ["committed", "aborted", "control", "all"];

/** A word that could stand where another one was begun. */
export interface Completion {
  insert: string;
  hint: string;
}

/** What could be typed at the caret, and from where it replaces the text. */
export function complete(text: string, caret: number, topics: string[]): { from: number; list: Completion[] } {
  const before = text.slice(0, caret);
  const from = Math.max(before.lastIndexOf(" "), before.lastIndexOf("\t")) + 1;
  const word = before.slice(from);
  const none = { from, list: [] };
  if (word === "" || (before.split('"').length - 1) % 2 === 1) return none;
  const field = /^([a-z]+):(.*)$/i.exec(word);
  if (!field) {
    const list = (Object.entries(terms) as [SearchTerm, string][])
      .filter(([name]) => name.startsWith(word.toLowerCase()))
      .map(([name, hint]) => ({ insert: /[./]$/.test(name) ? name : `${name}:`, hint }));
    return { from, list };
  }
  const typed = field[2]!.slice(field[2]!.lastIndexOf(",") + 1);
  const values = { stage: stages, status: statuses, topic: topics }[field[1]!.toLowerCase()];
  if (!values) return none;
  const list = values.filter((v) => v !== typed && v.toLowerCase().startsWith(typed.toLowerCase())).slice(0, 12).map((insert) => ({ insert, hint: "" }));
  return { from: caret - typed.length, list };
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

/** A text around the character that is at fault, counted from 1; at most so much of it on either side. */
export function aroundFault(text: string, at: number, most = 60): { before: string; mark: string; after: string } {
  const all = Array.from(text);
  const from = Math.max(0, at - 1 - most);
  const to = Math.min(all.length, at + most);
  return {
    before: (from > 0 ? "…" : "") + all.slice(from, at - 1).join(""),
    mark: all[at - 1] ?? " ",
    after: all.slice(at, to).join("") + (to < all.length ? "…" : ""),
  };
}
