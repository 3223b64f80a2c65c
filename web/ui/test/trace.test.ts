import { describe, expect, it } from "vitest";
import type { Edge, Hop, Trace } from "../src/api/types";
import { groupHops, groupOf, linksOf, pathOf, rowsOf, ticks } from "../src/lib/groups";
import { layOut } from "../src/lib/layout";

const hop = (service: string, topic: string, depth: number, at: number): Hop => ({
  coordinates: { topic, topic_id: topic, partition: 0, branch: 0, offset: at }, timestamp: new Date(1e12 + at).toISOString(), status: "committed", sealed: true,
  stage: "enrichment", event_type: "T", event_version: "1", source_service: service, trace_id: "t", event_id: `${at}`, bytes: 1, stage_rule: "", depth,
});
const edge = (child: number, parent: number | undefined, more: Partial<Edge> = {}): Edge => ({ child, ...(parent === undefined ? {} : { parent }), kind: "caused_by", declared: true, rule: "", confidence: 1, ...more });

// Three receipts, three enrichments, one sum with a parent outside and a ghost.
const hops = [hop("a", "x", 0, 0), hop("a", "x", 0, 1), hop("a", "x", 0, 2), hop("b", "y", 1, 10), hop("b", "y", 1, 11), hop("b", "y", 1, 12), hop("c", "z", 2, 20)];
const edges = [edge(3, 0, { declared: false, confidence: 0.5 }), edge(4, 1, { declared: false, confidence: 0.8 }), edge(5, 2), edge(6, 3), edge(6, 4, { primary: true }), edge(6, 5), edge(6, undefined, { outside: { ghost: false, id: "o" } }), edge(6, undefined, { outside: { ghost: true, id: "g" } })];
const trace = { hops, edges } as Trace;
const groups = groupHops(hops);

describe("groups", () => {
  it("gathers siblings, in causal order", () => {
    expect(groups.map((g) => [g.service, g.hops, g.from - 1e12, g.to - 1e12])).toEqual([["a", [0, 1, 2], 0, 2], ["b", [3, 4, 5], 10, 12], ["c", [6], 20, 20]]);
    expect(groupOf(groups, 7)).toEqual([0, 0, 0, 1, 1, 1, 2]);
  });
  it("opens into hops; one alone is its hop", () => {
    expect(rowsOf(groups, () => false).map((r) => r.kind)).toEqual(["group", "group", "hop"]);
    const rows = rowsOf(groups, (k) => k === groups[1]!.key);
    expect(rows.map((r) => (r.kind === "hop" ? [r.hop, r.level] : r.open))).toEqual([false, true, [3, 2], [4, 2], [5, 2], [6, 1]]);
  });
  it("knows parents and children, and the one compared with", () => {
    const links = linksOf(trace);
    expect(links.parent).toEqual([-1, -1, -1, 0, 1, 2, 4]);
    expect(links.children[4]).toEqual([6]);
    expect(links.into[6]).toHaveLength(5);
  });
});

describe("the graph", () => {
  const overlaps = (d: ReturnType<typeof layOut>) => d.nodes.some((a) => d.nodes.some((b) => a !== b && a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h));
  it("draws groups, with facts and guesses apart", () => {
    const d = layOut(groups, hops, edges, () => false);
    expect(d.nodes.map((n) => n.kind).sort()).toEqual(["ghost", "group", "group", "hop", "outside"]);
    const between = d.links.filter((l) => l.to === "g3").map((l) => [l.declared, l.count, l.least, l.most]);
    expect(between).toEqual([[false, 2, 0.5, 0.8], [true, 1, 1, 1]]);
    expect(overlaps(d)).toBe(false);
  });
  it("draws a path out of its groups", () => {
    const path = pathOf(linksOf(trace), 4);
    expect([...path].sort()).toEqual([1, 4, 6]);
    const d = layOut(groups, hops, edges, (h) => path.has(h));
    expect(d.nodes.filter((n) => n.hops.length > 0).map((n) => [n.id, n.hops.length])).toEqual([["g0", 2], ["h1", 1], ["g3", 2], ["h4", 1], ["h6", 1]]);
    expect(overlaps(d)).toBe(false);
  });
  it("ends a path that goes round", () => {
    const round = linksOf({ hops: hops.slice(0, 2), edges: [edge(0, 1), edge(1, 0)] } as Trace);
    expect([...pathOf(round, 0)]).toEqual([0, 1]);
  });
  it("puts every parent left of its child, also when opened", () => {
    const d = layOut(groups, hops, edges, () => true);
    const at = new Map(d.nodes.map((n) => [n.id, n]));
    for (const l of d.links) expect(at.get(l.from)!.x + at.get(l.from)!.w).toBeLessThan(at.get(l.to)!.x);
    expect(overlaps(d)).toBe(false);
  });
});

it.each([0, 1, 7, 220, 2400, 86_400_000, 1e12])("an axis of %d ms has a few round lines", (span) => {
  const t = ticks(span);
  expect(t.length).toBeGreaterThan(0);
  expect(t.length).toBeLessThan(9);
  expect(t.at(-1)!).toBeLessThanOrEqual(Math.max(span, 0) * 1.0001);
});
