// What is archived of every topic, how fast, and how far behind.
import type { JSX } from "preact";
import { Fragment } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { asProblem, paths, type Problem, seal } from "../api/client";
import type { Coverage, PartitionCoverage, TopicList, TopicSummary } from "../api/types";
import { useKeys } from "../app/keys";
import { useResource } from "../app/resource";
import { go, lastResults, pages, setParams, useLocation } from "../app/router";
import { bytes, count, plural, rate, sentence } from "../lib/format";
import { isInternal, ordered } from "../lib/topics";
import { Time } from "../ui/parts";
import { Empty, ProblemBox, Skeleton } from "../ui/states";
import { VerdictLine } from "../ui/verdict";

const every = 2000;
const samples = 60;

export function TopicsPage(): JSX.Element {
  const topics = useResource<TopicList>(paths.topics, { every });
  const { params } = useLocation();
  const open = params.get("open") ?? "";
  const [chosen, choose] = useState(-1);
  const [sealing, setSealing] = useState<"" | "busy" | string>("");
  const [sealProblem, setSealProblem] = useState<Problem>();
  useEffect(() => { document.title = "Topics · Annals"; }, []);
  const history = useRates(topics.data);
  const list = ordered(topics.data?.topics ?? []);
  const toggle = (name: string): void => setParams({ open: open === name ? undefined : name });
  useKeys({
    j: () => choose(Math.min(list.length - 1, chosen + 1)),
    k: () => choose(Math.max(0, chosen - 1)),
    Enter: () => (list[chosen] ? toggle(list[chosen].topic) : false),
    ArrowRight: () => (list[chosen] ? setParams({ open: list[chosen].topic }) : false),
    ArrowLeft: () => setParams({ open: undefined }),
    Escape: () => (open ? setParams({ open: undefined }) : go(lastResults())),
  });
  const sealNow = async (): Promise<void> => {
    setSealing("busy");
    setSealProblem(undefined);
    try {
      const done = await seal();
      setSealing(done.records === 0 ? "Everything was sealed already" : `Sealed ${plural(done.records, "record")} of ${plural(done.partitions, "partition")}`);
      topics.reload();
    } catch (thrown) {
      setSealing("");
      setSealProblem(asProblem(thrown));
    }
  };
  const total = sum(list);
  const span = range(params);
  return (
    <div class="page">
      <div class="bar">
        <h1>Topics</h1>
        {topics.data && <span class="count">{count(list.filter((t) => t.archived).length)} of {count(list.length)} archived</span>}
        <span class="spacer" />
        {sealing !== "" && sealing !== "busy" && <span class="faint" role="status">{sealing}</span>}
        <button type="button" class="button" disabled={sealing === "busy" || total.fresh === 0} onClick={sealNow}>{sealing === "busy" ? "Sealing…" : "Seal what is fresh"}</button>
      </div>
      {sealProblem && <ProblemBox problem={sealProblem} compact />}
      {topics.data && list.length > 0 && (
        <dl class="tiles">
          <Tile name="Sealed" value={count(total.sealed)} note="records in the ledger" />
          <Tile name="Fresh" value={count(total.fresh)} note="searchable, not yet evidence" />
          <Tile name="On disk" value={bytes(total.bytes)} note={plural(total.segments, "segment")} />
          <Tile name="Behind" value={count(total.lag)} note="offsets not yet read" />
          <Tile name="Coming in" value={rate(total.rate)} note="records a second" />
        </dl>
      )}
      {topics.data?.notes.map((note) => <p key={note} class="note" role="note">{sentence(note)}</p>)}
      {topics.problem && <ProblemBox problem={topics.problem} retry={topics.reload} compact={list.length > 0} />}
      {!topics.data && !topics.problem && <Skeleton rows={9} label="Reading the topics" />}
      {topics.data && list.length === 0 && (
        <Empty title="Kafka has no topics yet"><p>Annals looks for new topics all the time; a topic is here at most 30 seconds after it is made.</p></Empty>
      )}
      <p class="faint">Is everything there {["from", "to"].map((end) => <>{end} <input type="datetime-local" aria-label={`Record times ${end}, UTC`} value={params.get(end) ?? ""} onChange={(e) => setParams({ [end]: e.currentTarget.value })} /> </>)}UTC?</p>
      {(span.from || span.to) && <VerdictLine path={paths.verdict(span)} />}
      {list.length > 0 && (
        <div class="tablewrap">
          <table class="topics" role="treegrid" aria-label="Topics">
            <thead>
              <tr><th scope="col">Topic</th><th scope="col" class="num">Sealed</th><th scope="col" class="num">Fresh</th><th scope="col" class="num">Size</th><th scope="col" class="num">Segments</th><th scope="col" class="num">Lag</th><th scope="col" class="num c-rate">Rate</th><th scope="col">First sealed record</th><th scope="col">Last sealed record</th></tr>
            </thead>
            <tbody>
              {list.map((t, i) => (
                <Fragment key={t.topic_id + t.topic}>
                  <Row topic={t} open={open === t.topic} chosen={i === chosen} rates={history.get(t.topic) ?? []} onToggle={() => { choose(i); toggle(t.topic); }} />
                  {open === t.topic && t.archived && <tr class="under"><td colSpan={9}><Partitions topic={t.topic} span={span} /></td></tr>}
                </Fragment>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

function Row(props: { topic: TopicSummary; open: boolean; chosen: boolean; rates: number[]; onToggle: () => void }): JSX.Element {
  const t = props.topic;
  return (
    <tr aria-level={1} aria-expanded={t.archived ? props.open : undefined} aria-selected={props.chosen} class={t.archived ? undefined : isInternal(t.topic) ? "off own" : "off"} onClick={(e) => { if (t.archived && !(e.target as Element).closest("a, button")) props.onToggle(); }}>
      <td>
        {t.archived
          ? <button type="button" class="expander" aria-expanded={props.open} onClick={props.onToggle}><span class="caret" aria-hidden="true" /><span class="topic">{t.topic}</span></button>
          : <span class="expander"><span class="topic">{t.topic}</span></span>}
        <span class="faint"> {plural(t.partitions, "partition")}</span>
        {(!t.archived || t.detail) && <div class={t.archived ? "detail" : "detail why"}>{!t.archived && <b>Not archived: </b>}{t.detail}</div>}
      </td>
      {t.archived ? (
        <>
          <td class="num">{count(t.sealed_records)}</td>
          <td class="num">{t.fresh_records === 0 ? <span class="faint">0</span> : count(t.fresh_records)}</td>
          <td class="num">{bytes(t.bytes)}</td>
          <td class="num">{count(t.segments)}</td>
          <td class="num">{t.lag === 0 ? <span class="faint">0</span> : count(t.lag)}</td>
          <td class="num c-rate"><Sparkline values={props.rates} /><span class="rate">{t.rate_per_second === 0 ? <span class="faint">0/s</span> : rate(t.rate_per_second)}</span></td>
          <td>{t.first_timestamp ? <Time at={t.first_timestamp} millis={false} /> : <span class="faint">—</span>}</td>
          <td>{t.last_timestamp ? <Time at={t.last_timestamp} millis={false} /> : <span class="faint">—</span>}</td>
        </>
      ) : <td colSpan={8} />}
    </tr>
  );
}

/** What is typed as a range of record times, as the API takes it. */
const range = (params: URLSearchParams): Record<string, string | undefined> => Object.fromEntries(["from", "to"].map((end) => [end, params.get(end)?.concat(":00Z")]));

function Partitions(props: { topic: string; span: Record<string, string | undefined> }): JSX.Element {
  const coverage = useResource<Coverage>(paths.coverage(props.topic), { every });
  if (coverage.problem && !coverage.data) return <ProblemBox problem={coverage.problem} retry={coverage.reload} compact />;
  if (!coverage.data) return <Skeleton rows={3} label="Reading the coverage" />;
  return (
    <div class="partitions">
      <VerdictLine path={paths.verdict({ topic: props.topic, ...props.span })} />
      <table aria-label={`Partitions of ${props.topic}`}>
        <thead><tr><th scope="col" class="num">Partition</th><th scope="col" class="num">Archived from</th><th scope="col" class="num">to</th><th scope="col" class="num">Fresh to</th><th scope="col" class="num">High watermark</th><th scope="col" class="c-cover">Covered</th><th scope="col">Committed, aborted, control</th><th scope="col">Gaps</th><th scope="col">Accounted for</th><th scope="col" class="num">Commits</th><th scope="col">Last sealed</th></tr></thead>
        <tbody>{coverage.data.partitions.map((p) => <Partition key={`${p.topic_id}/${p.partition}/${p.branch}`} p={p} />)}</tbody>
      </table>
      <Gaps partitions={coverage.data.partitions} topic={props.topic} />
      <p><a href={pages.search(`topic:${props.topic}`)}>Newest records</a> · <a href={pages.newReplay({ topics: props.topic })}>Replay this topic</a></p>
    </div>
  );
}

function Partition(props: { p: PartitionCoverage }): JSX.Element {
  const p = props.p;
  return (
    <tr>
      <td class="num">{p.partition}{p.branch > 0 && <span class="tag">branch {p.branch}</span>}{p.ended && <span class="tag" title="The topic was deleted">ended</span>}</td>
      <td class="num" title={p.archived_from > 0 ? `Below is out of scope: the archive began there (start policy ${p.start_policy}, Kafka's log began at ${count(p.log_start_at_genesis)})` : undefined}>{count(p.archived_from)}</td>
      <td class="num">{count(p.archived_to)}</td>
      <td class="num">{count(p.fresh_to)}</td>
      <td class="num">{count(p.high_watermark)}</td>
      <td class="c-cover"><CoverBar p={p} /></td>
      <td>{count(p.counts.committed)}<span class="faint">, {count(p.counts.aborted)}, {count(p.counts.control)}</span></td>
      <td>
        {p.gap_classes.length === 0 && p.purged === 0 && !p.went_offsets && <span class="faint">none</span>}
        {p.gap_classes.map((g) => <span key={g.class} class={g.class === "unexplained" ? "gap alarm" : "gap"}>{plural(g.offsets, "offset")} {words(g.class)}</span>)}
        {p.purged > 0 && <span class="gap">{plural(p.purged, "record")} purged</span>}
        {!!p.went_offsets && <span class="gap">{plural(p.went_offsets, "offset")} went with the topic</span>}
        {p.ended && p.went_offsets === undefined && <span class="gap">went with the topic: unknown</span>}
      </td>
      <td>{p.unaccounted === 0 ? <span title={`All ${plural(p.offsets, "offset")} are a record, a marker or lie in a gap`}>100 %</span> : <span class="gap alarm">{p.unaccounted > 0 ? `${plural(p.unaccounted, "offset")} missing` : `${plural(-p.unaccounted, "offset")} counted twice`}</span>}</td>
      <td class="num">{count(p.commits)}</td>
      <td>{p.last_sealed ? <Time at={p.last_sealed} millis={false} /> : <span class="faint">not yet</span>}</td>
    </tr>
  );
}

/** How the classes of gaps are written for people. */
const words = (name: string): string => name.replaceAll("_", " ");

const shownGaps = 20;

/** The gaps of all partitions, the newest found first, with what the broker answered. */
function Gaps(props: { partitions: PartitionCoverage[]; topic: string }): JSX.Element | null {
  const ranges = props.partitions.reduce((n, p) => n + p.gap_ranges, 0);
  if (ranges === 0) return null;
  const all = props.partitions.flatMap((p) => p.gaps.map((g) => ({ ...g, partition: p.partition, topic_id: p.topic_id })));
  const newest = all.sort((a, b) => b.found.localeCompare(a.found) || b.from - a.from).slice(0, shownGaps);
  return (
    <div class="gaps">
      <table aria-label={`Gaps of ${props.topic}`}>
        <thead><tr><th scope="col">Gap found</th><th scope="col" class="num">Partition</th><th scope="col">Class</th><th scope="col" class="num">From</th><th scope="col" class="num">to</th><th scope="col">Because Kafka answered</th></tr></thead>
        <tbody>
          {newest.map((g) => (
            <tr key={`${g.topic_id}/${g.partition}/${g.branch}/${g.from}`}>
              <td><Time at={g.found} millis={false} /></td>
              <td class="num">{g.partition}{g.branch > 0 && <span class="tag">branch {g.branch}</span>}</td>
              <td><span class={g.class === "unexplained" ? "gap alarm" : "gap"}>{words(g.class)}</span></td>
              <td class="num">{count(g.from)}</td>
              <td class="num">{count(g.to)}</td>
              <td>{g.evidence ?? <span class="faint">not recorded</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {ranges > newest.length && <p class="faint">The newest {newest.length} of {plural(ranges, "gap")}; <code>annals coverage {props.topic} --gaps --limit 0</code> lists all.</p>}
    </div>
  );
}

/** A partition from its first to its newest offset: sealed, fresh, not yet read. */
function CoverBar(props: { p: PartitionCoverage }): JSX.Element {
  const { archived_from: from, archived_to: to, fresh_to: fresh, high_watermark: high = fresh, gaps } = props.p;
  const span = Math.max(1, high - from);
  const x = (offset: number): number => Math.max(0, Math.min(100, ((offset - from) / span) * 100));
  const share = ((to - from) / span) * 100;
  return (
    <svg class="cover" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label={`${share.toFixed(1)} % sealed`}>
      <rect class="rest" width="100" height="8" />
      <rect class="fresh" x={x(to)} width={Math.max(0, x(fresh) - x(to))} height="8" />
      <rect class="sealed" width={x(to)} height="8" />
      {gaps.slice(0, 50).map((g, i) => <rect key={i} class="hole" x={x(g.from)} width={Math.max(0.6, x(g.to) - x(g.from))} height="8" />)}
    </svg>
  );
}

function Sparkline(props: { values: number[] }): JSX.Element {
  const v = props.values;
  const high = Math.max(1, ...v);
  const points = v.map((n, i) => `${(((samples - v.length + i) / (samples - 1)) * 72).toFixed(1)},${(17 - (n / high) * 15).toFixed(1)}`).join(" ");
  return <svg class="spark" viewBox="0 0 72 18" width="72" height="18" aria-hidden="true"><path class="zero" d="M0 17.5h72" />{v.length > 1 && <polyline points={points} />}</svg>;
}

/** The rates seen while the page is open, newest last. */
function useRates(list: TopicList | undefined): Map<string, number[]> {
  const kept = useRef<{ from: TopicList | undefined; rates: Map<string, number[]> }>({ from: undefined, rates: new Map() });
  if (list && kept.current.from !== list) {
    kept.current.from = list;
    for (const t of list.topics) {
      const before = kept.current.rates.get(t.topic) ?? [];
      kept.current.rates.set(t.topic, [...before, t.rate_per_second].slice(-samples));
    }
  }
  return kept.current.rates;
}

function Tile(props: { name: string; value: string; note: string }): JSX.Element {
  return <div><dt>{props.name}</dt><dd>{props.value}<small>{props.note}</small></dd></div>;
}

function sum(list: TopicSummary[]): { sealed: number; fresh: number; bytes: number; lag: number; rate: number; segments: number } {
  const out = { sealed: 0, fresh: 0, bytes: 0, lag: 0, rate: 0, segments: 0 };
  for (const t of list) {
    out.sealed += t.sealed_records;
    out.fresh += t.fresh_records;
    out.bytes += t.bytes;
    out.lag += t.lag;
    out.rate += t.rate_per_second;
    out.segments += t.segments ?? 0;
  }
  return out;
}
