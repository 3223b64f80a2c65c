// A trace's hops gathered into groups of siblings: same service, topic and
// event type. Both the waterfall and the graph are drawn from groups. Pure.
import type { Edge, Hop, Trace } from "../api/types";

/** Hops that did the same thing, in the order of the API. */
export interface Group {
  key: string;
  stage: string;
  service: string;
  topic: string;
  type: string;
  /** Indexes into the trace's hops. */
  hops: number[];
  depth: number;
  /** Times of the first and last hop, in milliseconds. */
  from: number;
  to: number;
}

export const timeOf = (hop: Hop): number => Date.parse(hop.timestamp);

/** The groups of a trace, in causal order: by depth, then by first time. */
export function groupHops(hops: Hop[]): Group[] {
  const groups = new Map<string, Group>();
  for (const [i, hop] of hops.entries()) {
    const key = JSON.stringify([hop.source_service, hop.coordinates.topic, hop.event_type, hop.stage, hop.depth]);
    const t = timeOf(hop);
    const group = groups.get(key);
    if (!group) {
      groups.set(key, { key, stage: hop.stage, service: hop.source_service, topic: hop.coordinates.topic, type: hop.event_type, hops: [i], depth: hop.depth, from: t, to: t });
      continue;
    }
    group.hops.push(i);
    group.from = Math.min(group.from, t);
    group.to = Math.max(group.to, t);
  }
  return [...groups.values()].sort((a, b) => a.depth - b.depth || a.from - b.from || a.hops[0]! - b.hops[0]!);
}

/** Which group each hop is in. */
export function groupOf(groups: Group[], hops: number): number[] {
  const out = new Array<number>(hops).fill(-1);
  for (const [g, group] of groups.entries()) for (const h of group.hops) out[h] = g;
  return out;
}

/** A line of the waterfall: a group, or one hop. */
export type Row =
  | { kind: "group"; group: Group; open: boolean }
  | { kind: "hop"; hop: number; group: Group; level: 1 | 2 };

/** The lines of the waterfall with some groups open. A group of one is its hop. */
export function rowsOf(groups: Group[], open: (key: string) => boolean): Row[] {
  const rows: Row[] = [];
  for (const group of groups) {
    if (group.hops.length === 1) {
      rows.push({ kind: "hop", hop: group.hops[0]!, group, level: 1 });
      continue;
    }
    const isOpen = open(group.key);
    rows.push({ kind: "group", group, open: isOpen });
    if (isOpen) for (const hop of group.hops) rows.push({ kind: "hop", hop, group, level: 2 });
  }
  return rows;
}

/** Edges by child, and the children of each hop. */
export interface Links {
  into: Edge[][];
  children: number[][];
  /** The hop that each one is compared with, or -1. */
  parent: number[];
}

export function linksOf(trace: Trace): Links {
  const n = trace.hops.length;
  const links: Links = { into: Array.from({ length: n }, () => []), children: Array.from({ length: n }, () => []), parent: new Array<number>(n).fill(-1) };
  for (const e of trace.edges) {
    links.into[e.child]?.push(e);
    if (e.parent === undefined) continue;
    links.children[e.parent]?.push(e.child);
    if (e.primary || links.parent[e.child] === -1) links.parent[e.child] = e.parent;
  }
  return links;
}

/**
 * The path that a hop is on: the hops it came from, each by the parent it is
 * compared with, and those that came from it the same way. At most so many.
 */
export function pathOf(links: Links, hop: number, most = 12): Set<number> {
  const out = new Set<number>();
  for (let at = hop; at >= 0 && !out.has(at) && out.size < most; at = links.parent[at] ?? -1) out.add(at);
  const queue = [hop];
  for (let at = queue.shift(); at !== undefined && out.size < most; at = queue.shift()) {
    for (const child of links.children[at] ?? []) {
      if (links.parent[child] !== at || out.has(child) || out.size >= most) continue;
      out.add(child);
      queue.push(child);
    }
  }
  return out;
}

/** Times at which a time axis of that many milliseconds has lines: three to eight of them, at round values. */
export function ticks(span: number): number[] {
  if (span <= 0) return [0];
  const base = 10 ** Math.floor(Math.log10(span / 4));
  const step = [1, 2, 5, 10].map((m) => m * base).find((s) => span / s <= 6) ?? base * 10;
  const out: number[] = [];
  for (let t = 0; t <= span * 1.0001; t += step) out.push(t);
  return out;
}
