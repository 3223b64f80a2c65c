// A trace: what happened to one id, step by step. All views share one
// selection, and every state is in the address.
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { asProblem, exportBag, paths, type Problem } from "../../api/client";
import type { FlowCut, Trace } from "../../api/types";
import { useKeys } from "../../app/keys";
import { useResource } from "../../app/resource";
import { go, lastResults, pages, setParams, useLocation } from "../../app/router";
import { count, duration, plural, position, sentence } from "../../lib/format";
import { groupHops, groupOf, linksOf, rowsOf } from "../../lib/groups";
import { JSONTree } from "../../ui/json";
import { Copy, Tabs, Time } from "../../ui/parts";
import { Empty, ProblemBox, SearchedLine, Skeleton } from "../../ui/states";
import { VerdictLine } from "../../ui/verdict";
import { Graph } from "./graph";
import { Panel, type PanelTab, panelTabs } from "./panel";
import { HopTable } from "./table";
import { Waterfall } from "./waterfall";

const views = ["waterfall", "graph", "table", "json"] as const;
type View = (typeof views)[number];

export function TracePage(props: { id: string }): JSX.Element {
  const { params } = useLocation();
  const facts = params.get("facts") === "1";
  const flow = params.get("flow") === "1";
  // The structure is there at once; the diffs need the payloads and follow.
  const structure = useResource<Trace>(paths.trace(props.id, { facts_only: facts, flow }), { hold: true });
  const full = useResource<Trace>(structure.data && !structure.stale ? paths.trace(props.id, { diffs: true, facts_only: facts, flow }) : undefined, { hold: true });
  useEffect(() => { document.title = `Trace ${props.id.slice(0, 8)} · Annals`; }, [props.id]);
  const trace = full.data && full.data.hops.length >= (structure.data?.hops.length ?? 0) && !full.stale ? full.data : structure.data;

  if (!trace) {
    return (
      <div class="page">
        <Crumbs />
        {structure.problem
          ? structure.problem.status === 404 ? <Unknown id={props.id} problem={structure.problem} /> : <ProblemBox problem={structure.problem} retry={structure.reload} />
          : <Skeleton rows={12} label="Reading the trace" />}
        <LeaveKey />
      </div>
    );
  }
  if (trace.hops.length === 0) {
    return <div class="page"><Crumbs /><Empty title="No record has this trace id"><SearchedLine searched={trace.searched} /></Empty><LeaveKey /></div>;
  }
  return <Loaded trace={trace} diffs={trace === full.data} diffProblem={full.problem} facts={facts} flow={flow} />;
}

/** What a flow's bounds cut off, in words. */
function cutLine(c: FlowCut): string {
  switch (c.why) {
    case "hub": return `Not followed: ${c.id ?? "an id"} leads to ${count(c.records)} records, too many to mean anything.`;
    case "limit": return `Cut at ${plural(c.records, "hop")}.`;
    case "steps": return `Not gone on from the last ${plural(c.records, "record")}: no more steps are taken.`;
    case "reads": case "unread": return `${plural(c.records, "record")} ${c.records === 1 ? "was" : "were"} not read for ids.`;
    case "look-up": return "The index gave not all that the ids lead to.";
  }
}

function LeaveKey(): null {
  useKeys({ Escape: () => go(lastResults()) });
  return null;
}

function Crumbs(): JSX.Element {
  return <nav class="crumbs" aria-label="Where this is"><a href={lastResults()}>Results</a><span aria-hidden="true">/</span><span>Trace</span></nav>;
}

function Unknown(props: { id: string; problem: Problem }): JSX.Element {
  return (
    <Empty title="No such trace">
      <p>{sentence(props.problem.message)}</p>
      {props.problem.hint && <p class="hint">{sentence(props.problem.hint)}</p>}
      {props.problem.searched && <SearchedLine searched={props.problem.searched} />}
      <p><a class="button" href={pages.search(props.id)}>Look it up as any other id</a></p>
    </Empty>
  );
}

/** State of the page that is in the address: which hop, which view, what is open. */
function useTraceState(trace: Trace) {
  const { params } = useLocation();
  const view = (views as readonly string[]).includes(params.get("view") ?? "") ? (params.get("view") as View) : "waterfall";
  const tab = (panelTabs as readonly string[]).includes(params.get("tab") ?? "") ? (params.get("tab") as PanelTab) : "changes";
  const hop = params.get("hop");
  const byPlace = useMemo(() => new Map(trace.hops.map((h, i) => [position(h.coordinates), i])), [trace]);
  const selected = hop === null ? -1 : (byPlace.get(hop) ?? -1);
  const groups = useMemo(() => groupHops(trace.hops), [trace]);
  const inGroup = useMemo(() => groupOf(groups, trace.hops.length), [groups, trace]);
  const links = useMemo(() => linksOf(trace), [trace]);
  // Groups are named by their place in causal order: short, and stable for a trace.
  // A link to a hop opens its group, unless it says what is open.
  const openText = params.get("open") ?? (selected >= 0 ? String(inGroup[selected]) : "");
  const open = useMemo(() => new Set(openText.split(".").filter((n) => /^\d+$/.test(n)).map(Number)), [openText]);
  const indexOf = useMemo(() => new Map(groups.map((g, i) => [g.key, i])), [groups]);
  const isOpen = (key: string): boolean => open.has(indexOf.get(key) ?? -1);
  const setOpen = (next: Iterable<number>): void => setParams({ open: [...new Set(next)].sort((a, b) => a - b).join(".") || "-" });
  const toggle = (key: string): void => {
    const i = indexOf.get(key);
    if (i === undefined) return;
    const next = new Set(open);
    if (!next.delete(i)) next.add(i);
    setOpen(next);
  };
  const select = (i: number): void => {
    const h = trace.hops[i];
    if (!h) return;
    const g = inGroup[i]!;
    const next = new Set(open);
    if (view === "waterfall" && groups[g]!.hops.length > 1) next.add(g);
    setParams({ hop: position(h.coordinates), open: [...next].sort((a, b) => a - b).join(".") || "-" });
  };
  return { view, tab, selected, groups, links, isOpen, toggle, select, setOpen, openAll: () => setOpen(groups.keys()), closeAll: () => setOpen([]) };
}

export type TraceState = ReturnType<typeof useTraceState>;

function Loaded(props: { trace: Trace; diffs: boolean; diffProblem: Problem | undefined; facts: boolean; flow: boolean }): JSX.Element {
  const { trace, facts } = props;
  const state = useTraceState(trace);
  const { view, tab, selected } = state;
  const at = trace.hops[selected];
  const setTab = (next: string): void => setParams({ tab: next === "changes" ? undefined : next });
  const setView = (next: string): void => setParams({ view: next === "waterfall" ? undefined : next });
  useKeys({
    "1": () => setView("waterfall"), "2": () => setView("graph"), "3": () => setView("table"), "4": () => setView("json"),
    "[": state.closeAll, "]": state.openAll,
    d: () => (at ? setTab("changes") : false), e: () => (at ? setTab("edges") : false), p: () => (at ? setTab("payload") : false), h: () => (at ? setTab("headers") : false), v: () => (at ? setTab("field") : false),
    f: () => setParams({ facts: facts ? undefined : "1" }),
    w: () => setParams({ flow: props.flow ? undefined : "1" }),
    u: () => { const parent = state.links.parent[selected]; return parent !== undefined && parent >= 0 ? state.select(parent) : false; },
    o: () => (at ? go(pages.record(at.coordinates)) : false),
    Escape: () => (at ? setParams({ hop: undefined, tab: undefined, field: undefined, of: undefined }) : go(lastResults())),
  });
  return (
    <div class={at ? "trace with-panel" : "trace"}>
      <div class="trace-main">
        <Header trace={trace} />
        <div class="trace-bar">
          <Tabs label="Views of the trace" chosen={view} onChoose={setView} tabs={[{ id: "waterfall", name: "Waterfall" }, { id: "graph", name: "Graph" }, { id: "table", name: "Table", note: String(trace.hops.length) }, { id: "json", name: "JSON" }]} />
          <span class="spacer" />
          {props.diffProblem && <span class="cut" title={props.diffProblem.message}>Changes could not be read</span>}
          <label class="switch" title="Go on into other traces: causes, coordinates, forwarded headers, shared ids (w)"><input type="checkbox" role="switch" checked={props.flow} onChange={() => setParams({ flow: props.flow ? undefined : "1" })} /><span>Whole flow</span></label>
          <label class="switch" title="Leave inferred edges out (f)"><input type="checkbox" role="switch" checked={facts} onChange={() => setParams({ facts: facts ? undefined : "1" })} /><span>Facts only</span></label>
        </div>
        <div class="trace-view" role="tabpanel" aria-labelledby={`tab-${view}`}>
          {view === "waterfall" && <Waterfall trace={trace} state={state} rows={rowsOf(state.groups, state.isOpen)} diffs={props.diffs} />}
          {view === "graph" && <Graph trace={trace} state={state} />}
          {view === "table" && <HopTable trace={trace} state={state} />}
          {view === "json" && <div class="jsonview"><div class="payload-bar"><span class="faint">The answer of the API, as it is drawn here</span><span class="spacer" /><Copy text={JSON.stringify(trace, null, 2)} what="JSON" /></div><JSONTree value={trace} /></div>}
        </div>
      </div>
      {at && <Panel key={`${selected}`} trace={trace} hop={selected} tab={tab} onTab={setTab} state={state} diffs={props.diffs} facts={facts} />}
    </div>
  );
}

function Header(props: { trace: Trace }): JSX.Element {
  const t = props.trace;
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const span = t.from && t.to ? Date.parse(t.to) - Date.parse(t.from) : undefined;
  const declared = t.edges.filter((e) => e.declared).length;
  const save = async (): Promise<void> => {
    setBusy(true);
    setProblem(undefined);
    try {
      const url = URL.createObjectURL(await exportBag({ trace_id: t.trace_id }));
      const link = document.createElement("a");
      link.href = url;
      link.download = `annals-trace-${t.trace_id.slice(0, 16)}.tar`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (thrown) {
      setProblem(asProblem(thrown));
    }
    setBusy(false);
  };
  return (
    <header class="trace-head">
      <Crumbs />
      <div class="bar">
        <h1><span class="kind">Trace</span> <span class="mono">{t.trace_id}</span><Copy text={t.trace_id} what="trace id" /></h1>
        <span class="spacer" />
        <button type="button" class="button" disabled={busy} onClick={save} title="A BagIt bag with records, report and hashes">{busy ? "Exporting…" : "Export"}</button>
        <a class="button" href={pages.newReplay({ trace: t.trace_id })}>Replay</a>
      </div>
      {problem && <ProblemBox problem={problem} compact />}
      <dl class="headline">
        <div><dt>Began</dt><dd>{t.from ? <Time at={t.from} /> : "—"}</dd></div>
        <div><dt>Took</dt><dd>{span === undefined ? "—" : duration(span)}</dd></div>
        <div><dt>Hops</dt><dd>{count(t.hops.length)}</dd></div>
        <div><dt>Services</dt><dd title={t.services.join("\n")}>{t.services.length}</dd></div>
        <div><dt>Topics</dt><dd title={t.topics.join("\n")}>{t.topics.length}</dd></div>
        <div><dt>Edges</dt><dd>{count(declared)} <small>declared</small>{t.edges.length > declared && <>, {count(t.edges.length - declared)} <small>inferred</small></>}</dd></div>
        <div><dt>Sealed</dt><dd>{t.sealed === t.hops.length ? <>all {count(t.hops.length)}</> : <>{count(t.sealed ?? 0)} <small>of</small> {count(t.hops.length)}</>}</dd></div>
        {!!t.outside_parents && <div><dt>Outside</dt><dd>{plural(t.outside_parents, "parent")} <small>in other traces</small></dd></div>}
        {!!t.ghosts && <div class="warn"><dt>Ghosts</dt><dd>{plural(t.ghosts, "parent")} <small>named, not archived</small></dd></div>}
      </dl>
      <VerdictLine path={paths.verdict({ trace_id: t.trace_id })} />
      {t.flow && <p class="hint">With {count(t.flow.traces.length - 1)} other {t.flow.traces.length === 2 ? "trace" : "traces"}, followed over {plural(t.flow.steps, "step")}.</p>}
      {t.flow?.cuts.map((c, i) => <p key={i} class="cut">{cutLine(c)}</p>)}
      {t.truncated && <p class="cut">This trace has more records than are shown. What is drawn is its beginning.</p>}
    </header>
  );
}
