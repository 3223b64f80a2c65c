// A layered layout for the trace's graph: layers by depth from left to right,
// the order inside a layer by barycentres. Pure and deterministic.
import type { Edge, Hop } from "../api/types";
import type { Group } from "./groups";

/** A box: one hop, a group of hops, or the parents outside the trace. */
export interface Node {
  id: string;
  kind: "hop" | "group" | "outside" | "ghost";
  hops: number[];
  layer: number;
  group?: Group;
  /** How many parents an outside box stands for. */
  count?: number;
  x: number;
  y: number;
  w: number;
  h: number;
}

/** Lines between two boxes, drawn as one. */
export interface Link {
  from: string;
  to: string;
  declared: boolean;
  count: number;
  /** The lowest and highest confidence among its edges. */
  least: number;
  most: number;
  path: string;
}

export interface Drawing {
  nodes: Node[];
  links: Link[];
  width: number;
  height: number;
}

const box = { group: { w: 216, h: 62 }, hop: { w: 186, h: 44 }, outside: { w: 168, h: 44 }, ghost: { w: 168, h: 44 } };
const gap = { x: 124, y: 20 };

/** The boxes: some hops stand alone, the others of each group are one box. */
export function layOut(groups: Group[], hops: Hop[], edges: Edge[], alone: (hop: number) => boolean): Drawing {
  const nodes: Node[] = [];
  const nodeOf = new Array<string>(hops.length).fill("");
  for (const g of groups) {
    const rest = g.hops.filter((h) => !alone(h));
    if (rest.length > 1) {
      nodes.push({ id: `g${g.hops[0]}`, kind: "group", hops: rest, layer: g.depth + 1, group: g, x: 0, y: 0, ...box.group });
      for (const h of rest) nodeOf[h] = `g${g.hops[0]}`;
    }
    for (const h of rest.length > 1 ? g.hops.filter(alone) : g.hops) {
      nodes.push({ id: `h${h}`, kind: "hop", hops: [h], layer: g.depth + 1, group: g, x: 0, y: 0, ...box.hop });
      nodeOf[h] = `h${h}`;
    }
  }
  const byID = new Map(nodes.map((n) => [n.id, n]));
  const links = new Map<string, Link>();
  const outside = new Map<string, Set<string>>();
  for (const e of edges) {
    const to = nodeOf[e.child]!;
    let from: string;
    if (e.parent !== undefined) from = nodeOf[e.parent]!;
    else {
      const kind = e.outside?.ghost ? "ghost" : "outside";
      // One box for each group of children: their parents outside are as alike as they are.
      const child = byID.get(to)!;
      from = `${kind}:${child.group?.key ?? to}`;
      if (!byID.has(from)) {
        const node: Node = { id: from, kind, hops: [], layer: Math.max(0, child.layer - 1), x: 0, y: 0, count: 0, ...box[kind] };
        nodes.push(node);
        byID.set(from, node);
        outside.set(from, new Set());
      }
      outside.get(from)!.add(e.outside?.id ?? "");
    }
    if (from === to) continue;
    const key = `${from}>${to}>${e.declared}`;
    const link = links.get(key);
    if (link) {
      link.count++;
      link.least = Math.min(link.least, e.confidence);
      link.most = Math.max(link.most, e.confidence);
    } else links.set(key, { from, to, declared: e.declared, count: 1, least: e.confidence, most: e.confidence, path: "" });
  }
  for (const [id, ids] of outside) byID.get(id)!.count = ids.size;
  return place(nodes, [...links.values()], byID);
}

function place(nodes: Node[], links: Link[], byID: Map<string, Node>): Drawing {
  const layers: Node[][] = [];
  for (const n of nodes) (layers[n.layer] ??= []).push(n);
  const full = layers.filter((l) => l && l.length > 0);
  const neighbours = new Map<string, string[]>();
  for (const l of links) {
    neighbours.set(l.from, [...(neighbours.get(l.from) ?? []), l.to]);
    neighbours.set(l.to, [...(neighbours.get(l.to) ?? []), l.from]);
  }
  const heights = full.map((l) => l.reduce((sum, n) => sum + n.h + gap.y, -gap.y));
  const height = Math.max(0, ...heights);
  let x = 0;
  for (const layer of full) {
    const w = Math.max(...layer.map((n) => n.w));
    for (const n of layer) n.x = x + (w - n.w) / 2;
    x += w + gap.x;
    stackUp(layer, height);
  }
  for (let sweep = 0; sweep < 4; sweep++) {
    for (const layer of sweep % 2 === 0 ? full : [...full].reverse()) {
      const middle = new Map(layer.map((n) => {
        const near = (neighbours.get(n.id) ?? []).map((id) => byID.get(id)!);
        return [n.id, near.length === 0 ? n.y + n.h / 2 : near.reduce((sum, m) => sum + m.y + m.h / 2, 0) / near.length];
      }));
      layer.sort((a, b) => middle.get(a.id)! - middle.get(b.id)! || (a.hops[0] ?? -1) - (b.hops[0] ?? -1));
      stackUp(layer, height);
    }
  }
  straighten(full, neighbours, byID);
  const top = Math.min(...nodes.map((n) => n.y));
  for (const n of nodes) n.y -= top;
  const bottom = Math.max(0, ...nodes.map((n) => n.y + n.h));
  for (const l of links) l.path = curve(byID.get(l.from)!, byID.get(l.to)!);
  return { nodes, links, width: Math.max(0, x - gap.x), height: bottom };
}

/** Moves boxes towards the middle of their neighbours, in the order they have, so that chains are straight lines. */
function straighten(layers: Node[][], neighbours: Map<string, string[]>, byID: Map<string, Node>): void {
  for (let sweep = 0; sweep < 6; sweep++) {
    for (const layer of sweep % 2 === 0 ? layers : [...layers].reverse()) {
      const wanted = layer.map((n) => {
        const all = (neighbours.get(n.id) ?? []).map((id) => byID.get(id)!);
        // What is outside follows the trace, not the other way round.
        const near = n.hops.length > 0 ? all.filter((m) => m.hops.length > 0) : all;
        return near.length === 0 ? n.y : near.reduce((sum, m) => sum + m.y + m.h / 2, 0) / near.length - n.h / 2;
      });
      let below = -Infinity;
      for (const [i, n] of layer.entries()) {
        n.y = Math.max(wanted[i]!, below);
        below = n.y + n.h + gap.y;
      }
      const shift = layer.reduce((sum, n, i) => sum + wanted[i]! - n.y, 0) / layer.length;
      for (const n of layer) n.y += shift;
    }
  }
}

function stackUp(layer: Node[], height: number): void {
  const own = layer.reduce((sum, n) => sum + n.h + gap.y, -gap.y);
  let y = (height - own) / 2;
  for (const n of layer) {
    n.y = y;
    y += n.h + gap.y;
  }
}

function curve(a: Node, b: Node): string {
  const [x1, y1, x2, y2] = [a.x + a.w, a.y + a.h / 2, b.x, b.y + b.h / 2];
  if (x2 <= x1) {
    // Same layer, or backwards: around the outside.
    const dip = Math.max(a.y + a.h, b.y + b.h) + 14;
    return `M${x1} ${y1}C${x1 + 40} ${dip} ${x2 - 40} ${dip} ${x2} ${y2}`;
  }
  const bend = Math.max(30, (x2 - x1) / 2);
  return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}
