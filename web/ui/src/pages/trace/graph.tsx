// The trace as a layered graph: solid lines are facts, dashed ones inferred.
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Trace } from "../../api/types";
import { useKeys } from "../../app/keys";
import { count, plural } from "../../lib/format";
import { pathOf } from "../../lib/groups";
import { layOut, type Link, type Node } from "../../lib/layout";
import { stageLook } from "../../lib/stages";
import { brief } from "../../ui/json";
import { stageShape } from "../../ui/parts";
import type { TraceState } from "./page";

/** Up to here every hop is a box of its own. */
const mostHops = 60;
const margin = 32;

interface View { x: number; y: number; w: number; h: number }

export function Graph(props: { trace: Trace; state: TraceState }): JSX.Element {
  const { trace, state } = props;
  const grouped = trace.hops.length > mostHops;
  // Of a big trace, the path of the chosen hop is drawn out of its groups.
  const drawing = useMemo(() => {
    const path = grouped && state.selected >= 0 ? pathOf(state.links, state.selected) : undefined;
    return layOut(state.groups, trace.hops, trace.edges, (hop) => !grouped || path?.has(hop) === true);
  }, [trace, state.groups, state.links, grouped, state.selected]);
  const sibling = (by: number): unknown => {
    const all = state.groups.find((g) => g.hops.includes(state.selected))?.hops;
    const next = all?.[all.indexOf(state.selected) + by];
    return next === undefined ? false : state.select(next);
  };
  const frame = useRef<HTMLDivElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  const fit = (): View => {
    const r = frame.current?.getBoundingClientRect();
    const [fw, fh] = [r?.width || 1000, r?.height || 600];
    // Small drawings are hardly blown up; tall ones start readable, at their middle.
    const zoom = Math.min(1.2, Math.max(0.45, Math.min(fw / (drawing.width + 2 * margin), fh / (drawing.height + 2 * margin))));
    const [w, h] = [fw / zoom, fh / zoom];
    return { x: (drawing.width - w) / 2, y: (drawing.height - h) / 2, w, h };
  };
  const [view, setView] = useState<View>({ x: 0, y: 0, w: 1000, h: 600 });
  useEffect(() => {
    setView(fit());
    const watch = new ResizeObserver(() => setView(fit()));
    if (frame.current) watch.observe(frame.current);
    return () => watch.disconnect();
  }, [drawing.width, drawing.height]);
  const zoomBy = (factor: number, cx = 0.5, cy = 0.5): void => setView((v) => {
    const w = Math.min(20_000, Math.max(200, v.w * factor));
    const h = (w / v.w) * v.h;
    return { x: v.x + (v.w - w) * cx, y: v.y + (v.h - h) * cy, w, h };
  });
  useKeys({ j: () => sibling(1), k: () => sibling(-1), "+": () => zoomBy(0.8), "=": () => zoomBy(0.8), "-": () => zoomBy(1.25), "0": () => setView(fit()) });
  useEffect(() => {
    const element = svg.current;
    if (!element) return;
    const wheel = (e: WheelEvent): void => {
      e.preventDefault();
      const r = element.getBoundingClientRect();
      if (e.ctrlKey || Math.abs(e.deltaY) > Math.abs(e.deltaX)) zoomBy(e.deltaY > 0 ? 1.1 : 0.9, (e.clientX - r.left) / r.width, (e.clientY - r.top) / r.height);
      else setView((v) => ({ ...v, x: v.x + e.deltaX * (v.w / r.width) }));
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, []);
  const drag = usePan(svg, view, setView);

  // Around the chosen hop: its path, and what it is joined to directly.
  const near = new Set<string>();
  const onPath = new Set(state.selected >= 0 && grouped ? drawing.nodes.filter((n) => n.kind === "hop" && n.group!.hops.length > 1).map((n) => n.id) : []);
  const chosen = drawing.nodes.find((n) => n.hops.includes(state.selected) && state.selected >= 0);
  if (chosen) for (const l of drawing.links) if (l.from === chosen.id || l.to === chosen.id) near.add(l.from).add(l.to);

  const activate = (n: Node): void => {
    if (n.hops.length > 0) state.select(n.hops[0]!);
  };
  return (
    <div class="graph" ref={frame}>
      <svg ref={svg} role="group" aria-label={`Graph of ${plural(trace.hops.length, "hop")}; the table holds the same`} viewBox={`${view.x} ${view.y} ${view.w} ${view.h}`} {...drag}>
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 .8 7 4 0 7.2" /></marker>
        </defs>
        <g>{drawing.links.map((l) => <Line key={`${l.from}>${l.to}>${l.declared}`} link={l} nodes={drawing.nodes} faint={!!chosen && l.from !== chosen.id && l.to !== chosen.id && !(onPath.has(l.from) && onPath.has(l.to))} />)}</g>
        <g>{drawing.nodes.map((n) => <Box key={n.id} node={n} trace={trace} chosen={n === chosen} faint={!!chosen && n !== chosen && !near.has(n.id) && !onPath.has(n.id)} onActivate={() => activate(n)} />)}</g>
      </svg>
      <div class="graph-legend">
        <span><svg width="28" height="8" aria-hidden="true"><path class="edge" d="M0 4h28" /></svg>declared</span>
        <span><svg width="28" height="8" aria-hidden="true"><path class="edge inferred" d="M0 4h28" /></svg>inferred, with confidence</span>
        {grouped && <span class="faint">siblings are gathered; click one to follow its path, j and k to change it</span>}
      </div>
      <div class="graph-tools">
        <button type="button" class="tool icon" aria-label="Zoom in" title="Zoom in (+)" onClick={() => zoomBy(0.8)}>+</button>
        <button type="button" class="tool icon" aria-label="Zoom out" title="Zoom out (-)" onClick={() => zoomBy(1.25)}>−</button>
        <button type="button" class="tool" title="Fit (0)" onClick={() => setView(fit())}>Fit</button>
      </div>
    </div>
  );
}

function Line(props: { link: Link; nodes: Node[]; faint: boolean }): JSX.Element {
  const { link } = props;
  const a = props.nodes.find((n) => n.id === link.from)!;
  const b = props.nodes.find((n) => n.id === link.to)!;
  const confidence = link.least === link.most ? `${Math.round(link.most * 100)} %` : `${Math.round(link.least * 100)}–${Math.round(link.most * 100)} %`;
  const text = [link.count > 1 ? `× ${count(link.count)}` : "", link.declared ? "" : confidence].filter(Boolean).join(" · ");
  const [x, y] = [(a.x + a.w + b.x) / 2, (a.y + a.h / 2 + b.y + b.h / 2) / 2];
  return (
    <g class={props.faint ? "faded" : undefined}>
      <path class={link.declared ? "edge" : "edge inferred"} d={link.path} marker-end="url(#arrow)" stroke-width={1.2 + Math.min(2, Math.log10(link.count))}>
        <title>{plural(link.count, "edge")}, {link.declared ? "declared" : `inferred, confidence ${confidence}`}</title>
      </path>
      {text && (a.kind !== "hop" || b.kind !== "hop" || link.count > 1) && <><rect class="edge-plate" x={x - text.length * 3.4 - 5} y={y - 9} width={text.length * 6.8 + 10} height="18" rx="9" /><text class="edge-text" x={x} y={y + 4} text-anchor="middle">{text}</text></>}
    </g>
  );
}

function Box(props: { node: Node; trace: Trace; chosen: boolean; faint: boolean; onActivate: () => void }): JSX.Element {
  const { node: n, trace } = props;
  if (n.kind === "outside" || n.kind === "ghost") {
    const ghost = n.kind === "ghost";
    return (
      <g class={`node ${n.kind} ${props.faint ? "faded" : ""}`} transform={`translate(${n.x} ${n.y})`}>
        <rect width={n.w} height={n.h} rx="6" />
        <text class="t1" x="14" y="19">{ghost ? plural(n.count ?? 0, "ghost") : `${plural(n.count ?? 0, "parent")}`}</text>
        <text class="t2" x="14" y="34">{ghost ? "named, not archived" : "in other traces"}</text>
      </g>
    );
  }
  const g = n.group!;
  const hop = n.kind === "hop" ? trace.hops[n.hops[0]!]! : undefined;
  const look = stageLook(g.stage);
  const title = hop ? brief(hop.key, 16) || `/${hop.coordinates.partition}/${hop.coordinates.offset}` : g.service || "unknown service";
  const sub = hop ? g.topic : g.type || "no event type";
  return (
    <g class={`node ${n.kind} ${look.class} ${props.chosen ? "chosen" : ""} ${props.faint ? "faded" : ""}`} transform={`translate(${n.x} ${n.y})`}
      role="button" tabIndex={0} aria-label={`${look.name}, ${g.service}, ${g.type}${hop ? `, key ${title}` : `, ${n.hops.length} hops`}`} aria-pressed={props.chosen}
      onClick={props.onActivate} onKeyDown={(e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); e.stopPropagation(); props.onActivate(); } }}>
      {!hop && <rect class="behind" x="4" y="4" width={n.w} height={n.h} rx="6" />}
      <rect width={n.w} height={n.h} rx="6" />
      <g class="dot" transform={`translate(17 ${hop ? 16 : 18})`}>{stageShape(g.stage)}</g>
      <text class="t1" x="30" y={hop ? 20 : 22}>{cut(title, hop ? 20 : 18)}</text>
      <text class="t2" x="30" y={hop ? 35 : 38}>{cut(sub, hop ? 24 : 29)}</text>
      {!hop && <text class="t2" x="30" y="53">{cut(g.topic, 29)}</text>}
      {!hop && <text class="n" x={n.w - 12} y="22" text-anchor="end">× {n.hops.length}</text>}
      {hop && !hop.sealed && <text class="n" x={n.w - 10} y="20" text-anchor="end">fresh</text>}
    </g>
  );
}

const cut = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** Drag to move, without taking clicks on boxes. */
function usePan(svg: { current: SVGSVGElement | null }, view: View, setView: (v: View) => void) {
  const start = useRef<{ x: number; y: number; view: View } | undefined>(undefined);
  return {
    onPointerDown: (e: PointerEvent): void => {
      if (e.button !== 0 || (e.target as Element).closest("[role=button]")) return;
      start.current = { x: e.clientX, y: e.clientY, view };
      svg.current?.setPointerCapture(e.pointerId);
    },
    onPointerMove: (e: PointerEvent): void => {
      const s = start.current;
      const r = svg.current?.getBoundingClientRect();
      if (!s || !r) return;
      setView({ ...s.view, x: s.view.x - (e.clientX - s.x) * (s.view.w / r.width), y: s.view.y - (e.clientY - s.y) * (s.view.h / r.height) });
    },
    onPointerUp: (): void => { start.current = undefined; },
    onPointerCancel: (): void => { start.current = undefined; },
  };
}
