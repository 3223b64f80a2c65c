// What differs from how it was: each check with how much it could judge, and
// each finding with whose it is, the evidence and some of its traces.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { paths } from "../api/client";
import type { Anomalies, Anomaly, AnomalyCheck } from "../api/types";
import { useKeys } from "../app/keys";
import { useResource } from "../app/resource";
import { go, lastResults, pages, setParams, useLocation } from "../app/router";
import { figures, findingQuery, kinds, outcome } from "../lib/anomalies";
import { count, sentence, shortID } from "../lib/format";
import { parseTime } from "../lib/query";
import { Time } from "../ui/parts";
import { Empty, ProblemBox, Skeleton } from "../ui/states";

export function AnomaliesPage(): JSX.Element {
  const { params } = useLocation();
  const [at, kind] = [params.get("at") ?? "", params.get("kind") ?? ""];
  const page = useResource<Anomalies>(paths.anomalies(at), { every: at ? undefined : 60_000, hold: true });
  const [chosen, choose] = useState(-1);
  useEffect(() => { document.title = "Anomalies · Annals"; }, []);
  const list = (page.data?.anomalies ?? []).filter((a) => !kind || a.kind === kind);
  const said = page.data && outcome(page.data.checks, page.data.anomalies.length);
  useKeys({
    j: () => choose(Math.min(list.length - 1, chosen + 1)),
    k: () => choose(Math.max(0, chosen - 1)),
    Enter: () => (list[chosen] ? go(hrefOf(list[chosen])) : false),
    Escape: () => (kind ? setParams({ kind: undefined }) : at ? setParams({ at: undefined }) : go(lastResults())),
  });
  return (
    <div class="page">
      <div class="bar">
        <h1>Anomalies</h1>
        {page.data && <span class="count">of the hour from <Time at={page.data.from} millis={false} />, looked at as of <Time at={page.data.at} millis={false} /></span>}
        <span class="spacer" />
        <Moment at={at} />
      </div>
      {page.problem && <ProblemBox problem={page.problem} retry={page.reload} compact={!!page.data} />}
      {!page.data && !page.problem && <Skeleton rows={8} label="Looking for anomalies" />}
      {page.data && <Checks checks={page.data.checks} found={page.data.anomalies} kind={kind} />}
      {page.data?.truncated && <p class="cut" role="note">There are more findings than the {count(page.data.anomalies.length)} that are shown.</p>}
      {said && list.length === 0 && (
        <Empty title={said.state === "found" ? "No finding of this kind" : said.title}>
          <p>{said.state === "found" ? "The checks above say which kinds have some." : said.state === "unsure" ? "What could not be judged, and why, stands beside each check. A topic needs some days of records before it has a usual." : "Every check could judge, and found nothing beyond its threshold."}</p>
        </Empty>
      )}
      {list.length > 0 && (
        <div class={page.stale ? "tablewrap dim" : "tablewrap"}>
          <table class="listed" role="grid" aria-label="Findings">
            <thead><tr><th scope="col">Kind</th><th scope="col">Where</th><th scope="col">Team</th><th scope="col">Component</th><th scope="col">Found</th><th scope="col">Evidence</th><th scope="col">Since</th></tr></thead>
            <tbody>{list.map((a, i) => <Row key={i} a={a} chosen={i === chosen} />)}</tbody>
          </table>
        </div>
      )}
    </div>
  );
}

/** Where a finding is looked into: what is not archived has no records to search. */
const hrefOf = (a: Anomaly): string => (a.kind === "lag" || a.kind === "unexplained_gap" ? pages.topics(a.topic) : pages.search(findingQuery(a)));

function Checks(props: { checks: AnomalyCheck[]; found: Anomaly[]; kind: string }): JSX.Element {
  return (
    <div class="tablewrap lettercounts">
      <table class="listed" aria-label="Checks">
        <thead><tr><th scope="col">Check</th><th scope="col">Outcome</th><th scope="col" class="num">Judged</th><th scope="col" class="num">Not to be judged</th><th scope="col">Why</th></tr></thead>
        <tbody>
          {props.checks.map((c) => {
            const on = props.kind === c.kind;
            const n = props.found.filter((a) => a.kind === c.kind).length;
            return (
              <tr key={c.kind} aria-selected={on}>
                <td><button type="button" class="expander" aria-pressed={on} onClick={() => setParams({ kind: on ? undefined : c.kind })}>{kinds[c.kind]}</button></td>
                <td>{c.state === "ok" ? "well" : c.state === "anomalies" ? <b class="gap alarm">{count(n)} found</b> : <span class="guess">indeterminate</span>}</td>
                <td class="num">{count(c.judged)}</td>
                <td class="num">{count(c.indeterminate)}</td>
                <td class="faint">{c.note ? sentence(c.note) : c.state === "indeterminate" && "There was nothing to judge."}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Row(props: { a: Anomaly; chosen: boolean }): JSX.Element {
  const { a } = props;
  return (
    <tr aria-selected={props.chosen}>
      <td class="nowrap">{kinds[a.kind]}</td>
      <td class="nowrap"><a href={hrefOf(a)}>{a.topic}{a.partition !== undefined && <span class="slot">/{a.partition}</span>}</a>{a.event_type && <div class="faint">{a.event_type}</div>}</td>
      <td>{a.team ?? <span class="faint">nobody</span>}</td>
      <td>{a.component ?? <span class="faint">unknown</span>}</td>
      <td>{figures(a)}</td>
      <td>
        {sentence(a.evidence)}
        {a.traces.length > 0 && <div class="faint">Traces {a.traces.map((t) => <a key={t} class="mono trace-of" href={pages.trace(t)}>{shortID(t)}</a>)}</div>}
      </td>
      <td><Time at={a.from} millis={false} /></td>
    </tr>
  );
}

/** The moment as of which is looked: the last hour that was over then. */
function Moment(props: { at: string }): JSX.Element {
  const [wrong, setWrong] = useState(false);
  const submit = (event: Event): void => {
    event.preventDefault();
    const text = new FormData(event.currentTarget as HTMLFormElement).get("at") as string;
    const time = text.trim() ? parseTime(text) : "";
    setWrong(time === undefined);
    if (time !== undefined) setParams({ at: time }, {});
  };
  return (
    <form class="moment" onSubmit={submit}>
      {wrong && <span class="cut" role="alert">Write a date (2008-10-24), a time (2008-10-24T14:15Z) or an age (2h).</span>}
      <input key={props.at} type="text" name="at" defaultValue={props.at} placeholder="as of now" aria-label="As of which moment" aria-invalid={wrong} />
      <button type="submit" class="button">Look</button>
    </form>
  );
}
