// Hops on a time axis, by stage and service. A treegrid: groups of siblings
// open into their hops.
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Trace } from "../../api/types";
import { useKeys } from "../../app/keys";
import { useSettings } from "../../app/settings";
import { duration, stamp, zoneName } from "../../lib/format";
import { type Group, type Row, ticks, timeOf } from "../../lib/groups";
import { stageLook } from "../../lib/stages";
import { summary } from "../../ui/diff";
import { brief } from "../../ui/json";
import { SealMark, StageMark, stageShape } from "../../ui/parts";
import type { TraceState } from "./page";

interface Props {
  trace: Trace;
  state: TraceState;
  rows: Row[];
  diffs: boolean;
}

interface Scale {
  from: number;
  span: number;
  x: (t: number) => number;
}

// The axis is drawn in hundredths of its width, stretched; marks are placed by
// percentages, so that they keep their shape.
function scaleOf(trace: Trace): Scale {
  const times = trace.hops.map(timeOf);
  const from = times.reduce((a, b) => Math.min(a, b), Infinity);
  const to = times.reduce((a, b) => Math.max(a, b), -Infinity);
  const span = Math.max(1, to - from);
  return { from, span, x: (t) => 2 + ((t - from) / span) * 95 };
}

const rowKey = (row: Row): string => (row.kind === "group" ? row.group.key : `hop${row.hop}`);

export function Waterfall(props: Props): JSX.Element {
  const { trace, state, rows } = props;
  const { zone } = useSettings();
  const scale = scaleOf(trace);
  const grid = useRef<HTMLDivElement>(null);
  const cursor = useRef<string>("");
  const selectedRow = rows.findIndex((r) => r.kind === "hop" && r.hop === state.selected);
  const held = rows.findIndex((r) => rowKey(r) === cursor.current);
  const at = cursor.current !== "" && held >= 0 ? held : selectedRow;

  const focusRow = (i: number): void => {
    const row = rows[i];
    if (!row) return;
    cursor.current = rowKey(row);
    const element = grid.current?.querySelectorAll<HTMLElement>("[role=row].wf-row")[i];
    element?.focus({ preventScroll: true });
    element?.scrollIntoView({ block: "nearest" });
    if (row.kind === "hop" && state.selected >= 0) state.select(row.hop);
  };
  const activate = (row: Row | undefined): unknown => {
    if (!row) return false;
    cursor.current = rowKey(row);
    if (row.kind === "group") state.toggle(row.group.key);
    else state.select(row.hop);
    return undefined;
  };
  const step = (by: number): void => focusRow(Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by)));
  useKeys({
    j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
    Enter: () => activate(rows[at]), " ": () => activate(rows[at]),
    ArrowRight: () => { const r = rows[at]; if (r?.kind !== "group") return false; if (!r.open) activate(r); else step(1); return undefined; },
    ArrowLeft: () => {
      const r = rows[at];
      if (!r) return false;
      if (r.kind === "group") { if (r.open) activate(r); return undefined; }
      if (r.level === 2) focusRow(rows.findIndex((o) => o.kind === "group" && o.group.key === r.group.key));
      return undefined;
    },
  });
  useEffect(() => {
    if (state.selected < 0) return;
    grid.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [state.selected]);

  const first = stamp(new Date(scale.from).toISOString(), zone);
  return (
    <div class="wf" role="treegrid" aria-label="Hops by stage and service" aria-rowcount={rows.length + 1} ref={grid}>
      <div class="wf-head" role="row">
        <div role="columnheader" class="wf-name">Stage and service</div>
        <div role="columnheader" class="wf-topic">Topic</div>
        <div role="columnheader" class="wf-what">What it did</div>
        <div role="columnheader" class="wf-axis" aria-label={`Time from ${first.date} ${first.time} ${zoneName(zone)}`}>
          <svg width="100%" height="28" aria-hidden="true">
            {ticks(scale.span).map((t) => <text key={t} x={`${scale.x(scale.from + t)}%`} y="18" text-anchor="middle">{t === 0 ? "0" : duration(t)}</text>)}
          </svg>
        </div>
      </div>
      {rows.map((row, i) => {
        const selected = row.kind === "hop" && row.hop === state.selected;
        const within = row.kind === "group" && !row.open && row.group.hops.includes(state.selected);
        return (
          <div key={rowKey(row)} role="row" class={`wf-row ${row.kind === "group" ? "wf-group" : row.level === 2 ? "wf-child" : ""} ${within ? "within" : ""}`}
            aria-level={row.kind === "group" ? 1 : row.level} aria-rowindex={i + 2} aria-selected={selected} {...(row.kind === "group" ? { "aria-expanded": row.open } : {})}
            tabIndex={i === Math.max(0, at) ? 0 : -1} onClick={() => activate(row)}>
            {row.kind === "group" ? <GroupCells group={row.group} open={row.open} {...props} scale={scale} /> : <HopCells row={row} {...props} scale={scale} />}
          </div>
        );
      })}
    </div>
  );
}

function GroupCells(props: Props & { group: Group; open: boolean; scale: Scale }): JSX.Element {
  const { group, trace, scale } = props;
  const look = stageLook(group.stage);
  const sealed = group.hops.filter((h) => trace.hops[h]!.sealed).length;
  return (
    <>
      <div role="gridcell" class="wf-name">
        <span class="caret" aria-hidden="true" /><StageMark stage={group.stage} />
        <span class="wf-label"><b>{group.service || "unknown service"}</b><small>{look.name}</small></span>
        <span class="times" title={`${group.hops.length} hops of the same service, topic and type`}>× {group.hops.length}</span>
      </div>
      <div role="gridcell" class="wf-topic"><span class="topic">{group.topic}</span><small>{group.type || "no event type"}</small></div>
      <div role="gridcell" class="wf-what">{sealed < group.hops.length && <SealMark sealed={false} />}<span>{props.diffs ? common(group, trace) : ""}</span></div>
      <div role="gridcell" class="wf-axis" aria-label={`${duration(group.from - scale.from)} to ${duration(group.to - scale.from)}`}>
        <svg class={look.class} width="100%" height="44" aria-hidden="true">
          <Lines scale={scale} />
          <rect class="extent" x={`${scale.x(group.from)}%`} width={`${scale.x(group.to) - scale.x(group.from)}%`} y="14" height="16" rx="3" />
          {group.hops.map((h) => { const x = `${scale.x(timeOf(trace.hops[h]!))}%`; return <line key={h} class={h === props.state.selected ? "tick on" : "tick"} x1={x} x2={x} y1="14" y2="30" />; })}
          <Ends at={scale.x(group.to)} text={group.to > group.from ? `${duration(group.to - group.from)}` : ""} y={26} />
        </svg>
      </div>
    </>
  );
}

function HopCells(props: Props & { row: Extract<Row, { kind: "hop" }>; scale: Scale }): JSX.Element {
  const { row, trace, scale, state } = props;
  const hop = trace.hops[row.hop]!;
  const look = stageLook(hop.stage);
  const parent = state.links.parent[row.hop]!;
  const edge = state.links.into[row.hop]!.find((e) => e.parent === parent && e.parent !== undefined);
  const t = timeOf(hop);
  const began = parent >= 0 ? timeOf(trace.hops[parent]!) : t;
  const key = brief(hop.key, 24);
  const tall = row.level === 1 ? 44 : 30;
  const middle = tall / 2;
  const ghosts = state.links.into[row.hop]!.filter((e) => e.outside?.ghost).length;
  return (
    <>
      <div role="gridcell" class="wf-name">
        {row.level === 1 && <span class="caret none" aria-hidden="true" />}<StageMark stage={hop.stage} size={row.level === 1 ? 12 : 10} />
        {row.level === 1
          ? <span class="wf-label"><b>{hop.source_service || "unknown service"}</b><small>{look.name}{key && <> · key {key}</>}</small></span>
          : <span class="wf-label"><span class="mono">{key || "no key"}</span></span>}
      </div>
      <div role="gridcell" class="wf-topic">{row.level === 1 ? <><span class="topic">{hop.coordinates.topic}</span><small>{hop.event_type || "no event type"}</small></> : <span class="mono slot">/{hop.coordinates.partition}/{hop.coordinates.offset}</span>}</div>
      <div role="gridcell" class="wf-what">{!hop.sealed && <SealMark sealed={false} />}{ghosts > 0 && <span class="tag warn">ghost parent</span>}<span>{props.diffs ? summary(hop.diff) || origin(hop.depth) : ""}</span></div>
      <div role="gridcell" class="wf-axis" aria-label={`At ${duration(t - scale.from)}${parent >= 0 ? `, ${duration(t - began)} after its parent` : ""}`}>
        <svg class={look.class} width="100%" height={tall} aria-hidden="true">
          <Lines scale={scale} />
          {parent >= 0 && <line class={edge?.declared ? "lead" : "lead inferred"} x1={`${scale.x(began)}%`} x2={`${scale.x(t)}%`} y1={middle} y2={middle} />}
          <svg x={`${scale.x(t)}%`} y={middle} overflow="visible"><g class="dot">{stageShape(hop.stage)}</g></svg>
          <Ends at={scale.x(t)} text={parent >= 0 ? `${t >= began ? "+" : ""}${duration(t - began)}` : duration(t - scale.from)} y={middle + 4} />
        </svg>
      </div>
    </>
  );
}

const origin = (depth: number): string => (depth === 0 ? "came in here" : "");

/** What all hops of a group did, when they did the same. */
function common(group: Group, trace: Trace): string {
  const all = new Map<string, number>();
  for (const h of group.hops) {
    const text = summary(trace.hops[h]!.diff) || origin(trace.hops[h]!.depth);
    all.set(text, (all.get(text) ?? 0) + 1);
  }
  if (all.size === 1) return [...all.keys()][0]!;
  const [text, n] = [...all].sort((a, b) => b[1] - a[1])[0]!;
  return text && n > group.hops.length / 2 ? `mostly ${text}` : "differs, open to see";
}

function Lines(props: { scale: Scale }): JSX.Element {
  return <>{ticks(props.scale.span).map((t) => { const x = `${props.scale.x(props.scale.from + t)}%`; return <line key={t} class="gridline" x1={x} x2={x} y1="0" y2="100%" />; })}</>;
}

/** A label beside a mark, on the side where there is room. */
function Ends(props: { at: number; text: string; y: number }): JSX.Element | null {
  if (!props.text) return null;
  const left = props.at > 80;
  return <text class="after" x={`${props.at}%`} dx={left ? -11 : 11} y={props.y} text-anchor={left ? "end" : "start"}>{props.text}</text>;
}
