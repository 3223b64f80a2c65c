// The selected hop: what it did, how that is known, and what it holds.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { paths, valueURL } from "../../api/client";
import type { ArchivedRecord, Edge, Hop, Trace } from "../../api/types";
import { useResource } from "../../app/resource";
import { pages, setParams } from "../../app/router";
import { count, duration, plural, position, shortID } from "../../lib/format";
import { timeOf } from "../../lib/groups";
import { DiffView } from "../../ui/diff";
import { brief, Payload } from "../../ui/json";
import { Copy, EventType, Fact, Facts, ID, Place, SealMark, Service, StageMark, StagePill, Tabs, Time } from "../../ui/parts";
import { ProblemBox, Skeleton } from "../../ui/states";
import { Headers } from "../record";
import { FieldPanel } from "./field";
import type { TraceState } from "./page";

export const panelTabs = ["changes", "edges", "payload", "headers", "field"] as const;
export type PanelTab = (typeof panelTabs)[number];

const shownEdges = 12;

interface Props {
  trace: Trace;
  hop: number;
  tab: PanelTab;
  onTab: (tab: string) => void;
  state: TraceState;
  diffs: boolean;
  facts: boolean;
}

export function Panel(props: Props): JSX.Element {
  const { trace, hop: index, tab, state } = props;
  const hop = trace.hops[index]!;
  const parents = state.links.into[index]!;
  const needed = tab === "payload" || tab === "headers";
  const record = useResource<ArchivedRecord>(needed ? paths.record(hop.coordinates) : undefined);
  const key = brief(hop.key);
  return (
    <aside class="panel" aria-label="The selected hop">
      <header class="panel-head">
        <div class="panel-title">
          <h2><EventType hit={hop} /></h2>
          <button type="button" class="tool icon" aria-label="Close (Esc)" title="Close (Esc)" onClick={() => setParams({ hop: undefined, tab: undefined, field: undefined, of: undefined })}>×</button>
        </div>
        <div class="panel-sub"><StagePill stage={hop.stage} /><Service name={hop.source_service} /><SealMark sealed={hop.sealed} /></div>
        <Facts>
          <Fact name="Position"><Place at={hop.coordinates} link branch /><Copy text={position(hop.coordinates)} what="position" /></Fact>
          {key && <Fact name="Key"><span class="mono">{key}</span></Fact>}
          <Fact name="Time"><Time at={hop.timestamp} /></Fact>
          <Fact name="Event id"><ID id={hop.event_id} what="event id" /></Fact>
          <Fact name="Stage by">{hop.stage_rule || <span class="faint">not said</span>}</Fact>
        </Facts>
        <div class="panel-actions"><a class="button" href={pages.record(hop.coordinates)}>Open record</a><a class="button" href={pages.newReplay({ trace: trace.trace_id })}>Replay this trace</a></div>
      </header>
      <Tabs label="About the hop" chosen={tab} onChoose={props.onTab} tabs={[
        { id: "changes", name: "Changes", note: hop.diff?.comparable ? String(hop.diff.changes.filter((c) => !c.envelope).length) : undefined },
        { id: "edges", name: "Edges", note: String(parents.length + state.links.children[index]!.length) },
        { id: "payload", name: "Payload" }, { id: "headers", name: "Headers" }, { id: "field", name: "Field" },
      ]} />
      <div class="panel-body" role="tabpanel" aria-labelledby={`tab-${tab}`} tabIndex={0}>
        {tab === "changes" && <Changes {...props} at={hop} />}
        {tab === "field" && <FieldPanel trace={trace} hop={index} state={state} />}
        {tab === "edges" && <Edges {...props} parents={parents} />}
        {needed && record.problem && <ProblemBox problem={record.problem} retry={record.reload} compact />}
        {needed && !record.data && !record.problem && <Skeleton rows={8} label="Reading the record" />}
        {tab === "payload" && record.data && <Payload bytes={record.data.value} what="value" download={valueURL(hop.coordinates)} />}
        {tab === "headers" && record.data && <Headers list={record.data.headers} />}
      </div>
    </aside>
  );
}

function Changes(props: Props & { at: Hop }): JSX.Element {
  const { trace, at, state } = props;
  const parents = state.links.into[props.hop]!;
  if (!props.diffs) return <Skeleton rows={6} label="Comparing with the parent" />;
  if (!at.diff) {
    if (parents.length === 0) return <p class="nothing">This hop has no parent in the archive: what it holds came in here.</p>;
    const ghost = parents.every((e) => e.outside?.ghost);
    return <p class="nothing">{ghost ? "Its parent is named and not archived, so there is nothing to compare with." : "No parent of this hop was compared with it. Its edges say where it came from."}</p>;
  }
  const parent = trace.hops[at.diff.parent];
  const edge = parents.find((e) => e.parent === at.diff!.parent);
  return (
    <>
      {parent && (
        <p class="against">
          Compared with <button type="button" class="link" onClick={() => state.select(at.diff!.parent)}>{parent.event_type || position(parent.coordinates)}</button> by {parent.source_service || "an unknown service"}, {duration(timeOf(at) - timeOf(parent))} before
          {edge && <>, {edge.declared ? "its declared parent" : <span class="guess">its inferred parent ({percent(edge.confidence)})</span>}</>}
        </p>
      )}
      <DiffView diff={at.diff} onField={(field) => setParams({ tab: "field", field })} />
    </>
  );
}

const reachedWords = {
  cause: "named as a cause", effect: "names as its cause", forwarded: "tied by forwarded trace headers",
  shared_id: "shares an id, a guess", trace: "in the trace of one that was come to",
};

function Edges(props: Props & { parents: Edge[] }): JSX.Element {
  const { trace, parents, state } = props;
  const inside = parents.filter((e) => e.parent !== undefined);
  const outside = parents.filter((e) => e.parent === undefined);
  const children = state.links.children[props.hop]!;
  const reached = trace.hops[props.hop]!.reached;
  return (
    <div class="edges">
      {reached && <p class={reached.inferred ? "guess" : "against"}>
        Beyond the trace, {plural(reached.step, "step")} away: {reachedWords[reached.how]} (<span class="mono">{reached.id}</span>)
        {reached.from !== undefined && <>, from <button type="button" class="link" onClick={() => state.select(reached.from!)}>{trace.hops[reached.from]!.event_type || position(trace.hops[reached.from]!.coordinates)}</button></>}
      </p>}
      <h4>Came from <span class="faint">{inside.length}</span></h4>
      {inside.length === 0 && <p class="nothing">{outside.length > 0 ? "No parent in this trace." : props.facts ? "No declared parent. Inferred ones are hidden: “Facts only” is on." : "No parent: this hop is where the trace began."}</p>}
      <Cut list={inside} draw={(e, i) => <EdgeLine key={i} edge={e} hop={trace.hops[e.parent!]!} onGo={() => state.select(e.parent!)} />} what="parent" />
      {outside.length > 0 && <>
        <h4>From outside the trace <span class="faint">{outside.length}</span></h4>
        <Cut list={outside} draw={(e, i) => <OutsideLine key={i} edge={e} />} what="parent" />
      </>}
      <h4>Led to <span class="faint">{children.length}</span></h4>
      {children.length === 0 && <p class="nothing">Nothing in this trace came from it.</p>}
      <Cut list={children} what="hop" draw={(c) => {
        const edge = state.links.into[c]!.find((e) => e.parent === props.hop)!;
        return <EdgeLine key={c} edge={edge} hop={trace.hops[c]!} onGo={() => state.select(c)} />;
      }} />
    </div>
  );
}

function EdgeLine(props: { edge: Edge; hop: Hop; onGo: () => void }): JSX.Element {
  const { edge, hop } = props;
  return (
    <li>
      <button type="button" class="edge-to" onClick={props.onGo}><StageMark stage={hop.stage} /><span class="event">{hop.event_type || "record"}</span> <span class="mono faint">{brief(hop.key, 18) || position(hop.coordinates)}</span></button>
      <Evidence edge={edge} />
    </li>
  );
}

function OutsideLine(props: { edge: Edge }): JSX.Element {
  const o = props.edge.outside!;
  return (
    <li>
      <span class="edge-to">
        {o.ghost ? <><span class="tag warn">ghost</span><span class="mono">{shortID(o.id, 18)}</span> <span class="faint">is named, and not archived</span></>
          : <><a href={o.trace_id ? pages.trace(o.trace_id, o.coordinates ? { hop: position(o.coordinates) } : {}) : pages.search(o.id)}>{o.event_type || shortID(o.id, 18)}</a> {o.timestamp && <Time at={o.timestamp} millis={false} />}</>}
      </span>
      <Evidence edge={props.edge} />
    </li>
  );
}

/** Why the edge is drawn: fact or guess, by which rule, from which bytes. */
function Evidence(props: { edge: Edge }): JSX.Element {
  const e = props.edge;
  return (
    <span class="evidence">
      <span class={e.declared ? "known" : "known guess"}>{e.declared ? "Declared" : `Inferred, ${percent(e.confidence)}`}</span>{e.kind !== "inferred" && ` ${e.kind.replaceAll("_", " ")}`}
      {e.rule && <> · {e.rule}</>}{e.evidence && <> · <span class="mono">{e.evidence}</span></>}
    </span>
  );
}

const percent = (share: number): string => `${Math.round(share * 100)} %`;

function Cut<T>(props: { list: T[]; draw: (item: T, i: number) => JSX.Element; what: string }): JSX.Element | null {
  const [all, setAll] = useState(false);
  if (props.list.length === 0) return null;
  const shown = all ? props.list : props.list.slice(0, shownEdges);
  return (
    <>
      <ul class="edge-list">{shown.map(props.draw)}</ul>
      {shown.length < props.list.length && <button type="button" class="link" onClick={() => setAll(true)}>Show all {count(props.list.length)}: {plural(props.list.length - shown.length, props.what)} more</button>}
    </>
  );
}
