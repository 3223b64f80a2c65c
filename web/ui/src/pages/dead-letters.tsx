// What could not be processed: how much of it, by topic and reason, and each
// letter with all that is known of it.
import type { JSX } from "preact";
import { Fragment } from "preact";
import { useEffect, useState } from "preact/hooks";
import { paths } from "../api/client";
import type { DeadLetter, DeadLetterCount, DeadLetterPage } from "../api/types";
import { useKeys } from "../app/keys";
import { useResource } from "../app/resource";
import { go, lastResults, pages, setParams, useLocation } from "../app/router";
import { bytes, count, plural, sentence } from "../lib/format";
import { Copy, Fact, Facts, ID, Time } from "../ui/parts";
import { Empty, ProblemBox, Skeleton } from "../ui/states";

/** What each component could not do, in words. */
const reasons: Record<string, string> = {
  reading: "could not be read",
  extraction: "the rules failed on it",
  index: "the index refused it",
};
const reason = (component: string): string => reasons[component] ?? component;

export function DeadLettersPage(): JSX.Element {
  const { params } = useLocation();
  const [topic, component, cursor, open] = ["topic", "component", "cursor", "open"].map((name) => params.get(name) ?? "") as [string, string, string, string];
  const page = useResource<DeadLetterPage>(paths.deadLetters({ topic, component, cursor, limit: 100 }), { every: cursor ? undefined : 10_000, hold: true });
  const [chosen, choose] = useState(-1);
  useEffect(() => { document.title = "Dead letters · Annals"; }, []);
  const list = page.data?.dead_letters ?? [];
  const counts = page.data?.counts ?? [];
  const all = counts.reduce((n, c) => n + c.dead_letters, 0);
  const leftOut = page.data?.counts_left_out ?? 0;
  const unreadable = page.data?.unreadable ?? [];
  const filtered = topic !== "" || component !== "";
  const toggle = (id: string): void => setParams({ open: open === id ? undefined : id });
  const older = (): void => { choose(-1); setParams({ cursor: page.data?.next_cursor, open: undefined }, {}); };
  useKeys({
    j: () => choose(Math.min(list.length - 1, chosen + 1)),
    k: () => choose(Math.max(0, chosen - 1)),
    Enter: () => (list[chosen] ? toggle(list[chosen].id) : false),
    n: () => (page.data?.next_cursor ? older() : false),
    Escape: () => (open ? setParams({ open: undefined }) : filtered ? setParams({ topic: undefined, component: undefined, cursor: undefined }) : go(lastResults())),
  });
  return (
    <div class="page">
      <div class="bar">
        <h1>Dead letters</h1>
        {page.data && all > 0 && <span class="count">{filtered ? `${count(page.data.total)} of ${leftOut > 0 ? "more than " : ""}${count(all)}` : count(page.data.total)}</span>}
        <span class="spacer" />
        {filtered && <button type="button" class="button" onClick={() => setParams({ topic: undefined, component: undefined, cursor: undefined, open: undefined })}>Show all</button>}
      </div>
      {page.problem && <ProblemBox problem={page.problem} retry={page.reload} compact={list.length > 0} />}
      {!page.data && !page.problem && <Skeleton rows={6} label="Reading the dead letters" />}
      {page.data && all === 0 && !filtered && (
        <Empty title="There are no dead letters">
          <p>Everything that was read could be processed. What cannot be read, makes the rules fail, or is refused by the index is listed here, with its reason and where its bytes are. It is archived all the same.</p>
        </Empty>
      )}
      {counts.length > 0 && <Counts counts={counts} topic={topic} component={component} leftOut={leftOut} />}
      {unreadable.map((l) => <p class="note" role="note" key={l.key}>A dead letter of {l.topic}, which {reason(l.component)}, cannot be read: {l.error} (<code>{l.key}</code>)</p>)}
      {page.data && list.length === 0 && unreadable.length === 0 && (all > 0 || filtered) && <Empty title="No dead letter matches"><p>None is of {topic || "any topic"}{component && ` that ${reason(component)}`}.</p></Empty>}
      {list.length > 0 && (
        <div class={page.stale ? "tablewrap dim" : "tablewrap"}>
          <table class="letters" role="treegrid" aria-label="Dead letters">
            <thead><tr><th scope="col">Where</th><th scope="col" class="num">Offsets</th><th scope="col">Reason</th><th scope="col">Error</th><th scope="col" class="num">Attempts</th><th scope="col">Last</th></tr></thead>
            <tbody>
              {list.map((l, i) => (
                <Fragment key={l.id + l.key}>
                  <Row letter={l} open={open === l.id} chosen={i === chosen} onToggle={() => { choose(i); toggle(l.id); }} />
                  {open === l.id && <tr class="under" aria-level={2}><td colSpan={6}><Context letter={l} /></td></tr>}
                </Fragment>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {(cursor || page.data?.next_cursor) && (
        <div class="bar">
          {cursor && <button type="button" class="button" onClick={() => setParams({ cursor: undefined, open: undefined }, {})}>First</button>}
          {page.data?.next_cursor && <button type="button" class="button" onClick={older}>More</button>}
        </div>
      )}
    </div>
  );
}

function Counts(props: { counts: DeadLetterCount[]; topic: string; component: string; leftOut: number }): JSX.Element {
  return (
    <div class="tablewrap lettercounts">
      <table aria-label="Dead letters by topic and reason">
        <thead><tr><th scope="col">Topic</th><th scope="col">Reason</th><th scope="col" class="num">Dead letters</th></tr></thead>
        <tbody>
          {props.counts.slice(0, 50).map((c) => {
            const on = c.topic === props.topic && c.component === props.component;
            return (
              <tr key={c.topic + c.component} aria-selected={on}>
                <td><button type="button" class="expander" aria-pressed={on} onClick={() => setParams(on ? { topic: undefined, component: undefined, cursor: undefined } : { topic: c.topic, component: c.component, cursor: undefined, open: undefined })}><span class="topic">{c.topic}</span></button></td>
                <td>{reason(c.component)}</td>
                <td class="num">{count(c.dead_letters)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {props.counts.length > 50 && <p class="faint">The 50 with the most, of {plural(props.counts.length + props.leftOut, "topic and reason", "topics and reasons")}; <code>annals dead-letters list --topic</code> lists those of any.</p>}
    </div>
  );
}

function Row(props: { letter: DeadLetter; open: boolean; chosen: boolean; onToggle: () => void }): JSX.Element {
  const l = props.letter;
  return (
    <tr aria-level={1} aria-expanded={props.open} aria-selected={props.chosen} onClick={(e) => { if (!(e.target as Element).closest("a, button")) props.onToggle(); }}>
      <td><button type="button" class="expander" aria-expanded={props.open} onClick={props.onToggle}><span class="caret" aria-hidden="true" /><span class="topic">{l.topic}</span><span class="slot">/{l.partition}</span></button></td>
      <td class="num">{l.to - l.from === 1 ? count(l.from) : `${count(l.from)} – ${count(l.to - 1)}`}</td>
      <td>{reason(l.component)}</td>
      <td class="why">{l.error}</td>
      <td class="num">{count(l.attempts)}</td>
      <td><Time at={l.last} millis={false} /></td>
    </tr>
  );
}

/** All that a letter says. */
function Context(props: { letter: DeadLetter }): JSX.Element {
  const l = props.letter;
  return (
    <div class="letter">
      <p>{sentence(l.error)}</p>
      <Facts>
        <Fact name="Component">{l.component}</Fact>
        <Fact name="Topic ID"><ID id={l.topic_id} what="topic ID" /></Fact>
        {l.branch > 0 && <Fact name="Branch">{l.branch}</Fact>}
        {l.trace_id && <Fact name="Trace"><ID id={l.trace_id} what="trace id" href={pages.trace(l.trace_id)} /></Fact>}
        {l.event_id && <Fact name="Event"><ID id={l.event_id} what="event id" /></Fact>}
        <Fact name="First, last"><Time at={l.first} /> – <Time at={l.last} />, {plural(l.attempts, "attempt")}</Fact>
        {l.raw_key
          ? <Fact name="Raw bytes"><span class="id">{l.raw_key}<Copy text={l.raw_key} what="key of the raw bytes" /></span> <span class="faint">{bytes(l.raw_bytes)}, SHA-256 {l.raw_sha256}</span></Fact>
          : <Fact name="Bytes"><a href={pages.record({ topic: l.topic, partition: l.partition, offset: l.from })}>The record as it was archived</a></Fact>}
        <Fact name="Written by">{l.writer} <span class="faint">{l.build}</span></Fact>
        <Fact name="Kept as"><span class="id">{l.key}<Copy text={l.key} what="key of the letter" /></span></Fact>
      </Facts>
    </div>
  );
}
