// What an id is, and what names it.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { paths } from "../api/client";
import type { Hit, Identification } from "../api/types";
import { useKeys } from "../app/keys";
import { useResource } from "../app/resource";
import { go, pages, rememberResults } from "../app/router";
import { count, plural, sentence } from "../lib/format";
import { ProblemBox, SearchedLine, Skeleton, Empty } from "../ui/states";
import { HitTable, openHit } from "./hits";

const means: Record<string, string> = {
  trace: "This is a trace id. Its records:",
  event: "This is an event's id. The event:",
  span: "This is the span id of:",
  correlation: "This is a correlation id, carried by:",
  alias: "This is another id of:",
  causation: "Named as their cause by:",
  "parent span": "Named as their parent span by:",
  "source record": "Named as the record they came from by:",
  record: "This is a record's position:",
};

export function Identified(props: { id: string }): JSX.Element {
  const found = useResource<Identification>(paths.identify(props.id));
  const [chosen, choose] = useState(-1);
  useEffect(rememberResults, [props.id]);
  useKeys({ Escape: () => go("/") });

  // An id that a person just typed and that can only be one trace is opened.
  // Coming back by "back" shows the answer instead, or nobody could leave.
  const only = found.data?.matches.length === 1 ? found.data.matches[0] : undefined;
  useEffect(() => {
    const typed = (window.history.state as { typed?: boolean } | null)?.typed;
    if (typed && only?.role === "trace") go(pages.trace(only.trace_id ?? props.id), { replace: true });
  }, [only]);

  if (found.problem) return <div class="page"><Nothing id={props.id} found={found} /></div>;
  if (!found.data) return <div class="page"><Skeleton rows={10} label="Looking the id up" /></div>;
  if (found.data.matches.length === 0) {
    return (
      <div class="page">
        <Empty title="Nothing in the archive has this id">
          <p>No record is, or names, <code>{props.id}</code>.{found.data.tried.length > 1 && <> It was read as {found.data.forms.join(", ")}, and looked up as {found.data.tried.join(", ")}.</>}</p>
          <p>Keys are not ids: a key is found with <code>key:</code> and a topic, by reading the archive.</p>
          {found.data.searched && <SearchedLine searched={found.data.searched} />}
        </Empty>
      </div>
    );
  }
  const all = found.data.matches.flatMap((m) => m.records ?? []);
  let before = 0;
  return (
    <div class="page">
      <div class="bar"><h1>What <code class="idname">{props.id}</code> is</h1><span class="count">read as {found.data.forms.join(", ")}</span></div>
      {found.data.matches.map((m) => {
        const start = before;
        const hits: Hit[] = m.records ?? [];
        before += hits.length;
        const trace = m.trace_id ?? (m.role === "trace" ? props.id : undefined);
        return (
          <section class="role" key={m.role + (m.trace_id ?? "")}>
            <div class="bar small">
              <h2>{means[m.role] ?? `${m.role}:`}</h2>
              <span class="count">{plural(m.count, "record")}{hits.length < m.count && `, the first ${count(hits.length)} shown`}</span>
              <span class="spacer" />
              {trace && <a class="button" href={pages.trace(trace)}>Open the trace</a>}
            </div>
            {hits.length > 0 && <HitTable hits={hits} chosen={chosen - start} onChoose={(i) => choose(start + i)} onOpen={openHit} label={m.role} keys={false} />}
          </section>
        );
      })}
      <RowKeys hits={all} chosen={chosen} choose={choose} />
      {found.data.truncated && <p class="cut">More records have this id than are shown. Add a filter, such as <code>id:{props.id} topic:…</code>, to narrow them.</p>}
      {found.data.searched && <SearchedLine searched={found.data.searched} />}
    </div>
  );
}

/** One run of j and k through the tables of all roles. */
function RowKeys(props: { hits: Hit[]; chosen: number; choose: (i: number) => void }): null {
  const at = props.hits[props.chosen];
  useKeys({
    j: () => props.choose(Math.min(props.hits.length - 1, props.chosen + 1)),
    k: () => props.choose(Math.max(0, props.chosen - 1)),
    Enter: () => (at ? openHit(at) : false),
    o: () => (at ? go(pages.record(at.coordinates)) : false),
  });
  return null;
}

function Nothing(props: { id: string; found: { problem: import("../api/client").Problem | undefined; reload: () => void } }): JSX.Element | null {
  const { problem, reload } = props.found;
  if (!problem) return null;
  if (problem.status !== 404) return <ProblemBox problem={problem} retry={reload} />;
  return (
    <Empty title="Nothing in the archive has this id">
      <p>{sentence(problem.message)}</p>
      {problem.hint && <p class="hint">{sentence(problem.hint)}</p>}
      {problem.searched && <SearchedLine searched={problem.searched} />}
    </Empty>
  );
}
