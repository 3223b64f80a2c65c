// The replay jobs, and one job: its plan, its progress, its receipt.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { asProblem, cancelReplay, pauseReplay, paths, type Problem, receiptURL, resumeReplay, stepReplay } from "../api/client";
import type { Receipt, ReplayJob, ReplayList, ReplayPlan } from "../api/types";
import { useKeys } from "../app/keys";
import { ended, useLiveJob } from "../app/live";
import { useResource } from "../app/resource";
import { go, lastResults, pages } from "../app/router";
import { bytes, count, duration, eta, plural, sentence, shortID } from "../lib/format";
import { describePace } from "../lib/pace";
import { Copy, Fact, Facts, ID, Time } from "../ui/parts";
import { Empty, ProblemBox, Skeleton } from "../ui/states";
import { Approval, ChangePace, StopSwitch } from "./replay-control";

export function ReplaysPage(): JSX.Element {
  const jobs = useResource<ReplayList>(paths.replays, { every: 2000 });
  const [chosen, choose] = useState(-1);
  const list = jobs.data?.jobs ?? [];
  useEffect(() => { document.title = "Replays · Annals"; }, []);
  useKeys({
    j: () => choose(Math.min(list.length - 1, chosen + 1)),
    k: () => choose(Math.max(0, chosen - 1)),
    Enter: () => (list[chosen] ? go(pages.replay(list[chosen].id)) : false),
    n: () => go(pages.newReplay()),
    Escape: () => go(lastResults()),
  });
  return (
    <div class="page">
      <div class="bar">
        <h1>Replays</h1>
        {jobs.data && list.length > 0 && <span class="count">{plural(list.length, "job")}</span>}
        <span class="spacer" />
        <a class="button primary" href={pages.newReplay()}>New replay</a>
      </div>
      <StopSwitch />
      {jobs.problem && <ProblemBox problem={jobs.problem} retry={jobs.reload} compact={list.length > 0} />}
      {!jobs.data && !jobs.problem && <Skeleton rows={5} label="Reading the jobs" />}
      {jobs.data && list.length === 0 && (
        <Empty title="Nothing has been replayed yet">
          <p>A replay writes a trace, or topics between two times, into new topics: same bytes, same headers, same timestamps, same partitions. You see the plan with its counts before anything is written, and a receipt that compares what was read back afterwards.</p>
          <p><a class="button primary" href={pages.newReplay()}>Plan a replay</a></p>
        </Empty>
      )}
      {jobs.data && jobs.data.notes.length > 0 && (
        <ul class="warnings" aria-label="What the list leaves out">{jobs.data.notes.map((n) => <li key={n}>{sentence(n)}</li>)}</ul>
      )}
      {list.length > 0 && (
        <div class="tablewrap">
          <table role="grid" aria-label="Replay jobs">
            <thead><tr><th scope="col">State</th><th scope="col">What</th><th scope="col">Job</th><th scope="col" class="num">Planned</th><th scope="col" class="num">Produced</th><th scope="col" class="num">Read back</th><th scope="col">Left</th><th scope="col">Asked by</th><th scope="col">Started</th></tr></thead>
            <tbody>
              {list.map((j, i) => (
                <tr key={j.id} aria-selected={i === chosen} onClick={(e) => { if (!(e.target as Element).closest("a, button")) go(pages.replay(j.id)); }}>
                  <td><JobState job={j} /></td>
                  <td><a href={pages.replay(j.id)}>{describe(j.plan)}</a></td>
                  <td class="mono faint">{shortID(j.id)}</td>
                  <td class="num">{count(j.planned)}</td>
                  <td class="num">{count(j.produced)}</td>
                  <td class="num">{j.read_back === undefined ? <span class="faint">—</span> : count(j.read_back)}</td>
                  <td>{j.state === "running" && j.eta_seconds !== undefined ? eta(j.eta_seconds) : ""}</td>
                  <td>{j.requested_by ?? <span class="faint">—</span>}</td>
                  <td><Time at={j.started ?? j.updated} millis={false} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

/** What a plan replays, in a few words. */
export function describe(plan: ReplayPlan): string {
  if (plan.request.trace_id) return `Trace ${shortID(plan.request.trace_id, 12)}`;
  const topics = plan.request.topics ?? plan.topics.map((t) => t.source);
  return topics.length <= 2 ? topics.join(", ") : `${topics[0]} and ${topics.length - 1} more topics`;
}

function JobState(props: { job: ReplayJob }): JSX.Element {
  const { state, receipt } = props.job;
  const words: Record<ReplayJob["state"], string> = { awaiting_approval: "Awaits approval", planned: "Waiting", running: "Running", paused: "Paused", reconciling: "Reading back", done: receipt?.matches === false ? "Does not match" : "Done", failed: "Failed", cancelled: "Cancelled", rejected: "Rejected" };
  const look = state === "done" && receipt?.matches === false ? "failed" : state;
  return <span class={`state s-${look}`}><span class="statemark" aria-hidden="true">{{ awaiting_approval: "?", planned: "○", running: "◐", paused: "❚❚", reconciling: "◑", done: "✓", failed: "✕", cancelled: "–", rejected: "✕" }[look]}</span>{words[state]}</span>;
}

export function ReplayPage(props: { id: string }): JSX.Element {
  const job = useLiveJob(props.id);
  const [pacing, setPacing] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const [asking, ask] = useState(false);
  useEffect(() => { document.title = `Replay ${shortID(props.id)} · Annals`; }, [props.id]);
  const j = job.data;
  useKeys({ Escape: () => (asking ? ask(false) : go(pages.replays())) });
  const tell = async (what: (id: string) => Promise<ReplayJob>): Promise<void> => {
    ask(false);
    setProblem(undefined);
    try {
      await what(props.id);
      job.reload();
    } catch (thrown) {
      setProblem(asProblem(thrown));
    }
  };
  return (
    <div class="page narrow">
      <nav class="crumbs" aria-label="Where this is"><a href="/replays">Replays</a><span aria-hidden="true">/</span><span class="mono">{shortID(props.id)}</span></nav>
      {job.problem && <ProblemBox problem={job.problem} retry={job.reload} compact={!!j} />}
      {!j && !job.problem && <Skeleton rows={8} label="Reading the job" />}
      {j && (
        <>
          <div class="bar">
            <h1>{describe(j.plan)}</h1>
            <JobState job={j} />
            <span class="spacer" />
            {!ended.has(j.state) && (asking
              ? <span class="confirm">Stop for good? What was produced stays. <button type="button" class="button danger" onClick={() => tell(cancelReplay)}>Cancel the replay</button> <button type="button" class="button" onClick={() => ask(false)}>Go on</button></span>
              : <>
                  <button type="button" class="button" onClick={() => setPacing(!pacing)}>Pace…</button>
                  {j.state === "awaiting_approval" ? null : j.state === "paused"
                    ? <>
                        {j.pace.mode !== "fast" && <button type="button" class="button" title="One record more, in the order of the clock" onClick={() => tell(stepReplay)}>Step</button>}
                        <button type="button" class="button primary" onClick={() => tell(resumeReplay)}>Resume</button>
                      </>
                    : <button type="button" class="button" onClick={() => tell(pauseReplay)}>Pause</button>}
                  <button type="button" class="button" onClick={() => ask(true)}>Cancel…</button>
                </>)}
          </div>
          {problem && <ProblemBox problem={problem} compact />}
          <Progress job={j} />
          {pacing && !ended.has(j.state) && <ChangePace job={j} done={() => { setPacing(false); job.reload(); }} />}
          {j.error && (ended.has(j.state)
            ? <div class="problem" role="alert"><h2>{j.state === "rejected" ? "The replay was rejected" : "The replay failed"}</h2><p>{sentence(j.error)}</p>{j.state === "failed" && <p class="hint">Running the same plan again goes on where it stopped: nothing is delivered twice.</p>}</div>
            : <p class="note" role="status">{sentence(j.error)}</p>)}
          <Approval job={j} done={job.reload} />
          {j.receipt && <ReceiptView id={j.id} receipt={j.receipt} />}
          <section class="card"><h2>Plan</h2><PlanView plan={j.plan} /></section>
        </>
      )}
    </div>
  );
}

function Progress(props: { job: ReplayJob }): JSX.Element {
  const j = props.job;
  const share = j.planned === 0 ? 1 : j.produced / j.planned;
  const took = j.started && j.finished ? Date.parse(j.finished) - Date.parse(j.started) : undefined;
  return (
    <section class="progress" aria-label="Progress">
      <progress max={1} value={share} aria-label="Produced" />
      <div class="progress-line" role="status">
        <span><b>{count(j.produced)}</b> of {count(j.planned)} produced</span>
        {j.read_back !== undefined && (j.state === "reconciling" || ended.has(j.state)) && <span><b>{count(j.read_back)}</b> read back</span>}
        <span class="spacer" />
        {j.state === "running" && j.eta_seconds !== undefined && <span class="faint">{eta(j.eta_seconds)} to go</span>}
        {j.state === "reconciling" && <span class="faint">reading everything back and comparing</span>}
        {!ended.has(j.state) && <span class="faint">{describePace(j.pace)}</span>}
        {j.state === "awaiting_approval" && <span class="faint">nothing is produced before somebody else approves it</span>}
        {j.state === "planned" && <span class="faint">waiting for a worker</span>}
        {j.state === "paused" && <span class="faint">stopped until it is resumed</span>}
        {took !== undefined && <span class="faint">took {duration(took)}</span>}
      </div>
      {j.lateness && <p class="faint">Later than due when the broker had acknowledged it: half of the records at most {millis(j.lateness.acked.p50_ms)}, 99 of 100 at most {millis(j.lateness.acked.p99_ms)}, all at most {millis(j.lateness.acked.max_ms)}. Readers of committed data see them with the next commit, every {millis(j.lateness.commit_interval_ms)}.</p>}
    </section>
  );
}

const millis = (ms: number): string => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;

function ReceiptView(props: { id: string; receipt: Receipt }): JSX.Element {
  const r = props.receipt;
  return (
    <section class={r.matches ? "card receipt ok" : "card receipt bad"}>
      <h2>Receipt <a class="button" href={receiptURL(props.id)} target="_blank" rel="noreferrer">A page to print</a></h2>
      <p class="verdict">
        {r.matches
          ? <><b>Everything matches.</b> {plural(r.planned, "record")} planned, {count(r.read)} read, {count(r.produced)} produced, {count(r.read_back)} read back: same keys, values, headers and timestamps, in the same order.</>
          : <><b>Planned and read back differ.</b> {count(r.planned)} planned, {count(r.read)} read, {count(r.produced)} produced, {count(r.read_back)} read back. The partitions marked below do not hold what was planned.</>}
      </p>
      {!r.exclusive && <p class="note">Others wrote into the ranges that were read back.</p>}
      {r.notes.map((note) => <p class="note" key={note}>{note}</p>)}
      <div class="tablewrap">
        <table aria-label="Receipt by partition">
          <thead><tr><th scope="col">Source</th><th scope="col">Target</th><th scope="col" class="num">Partition</th><th scope="col" class="num">Planned</th><th scope="col" class="num">Read back</th><th scope="col">Hash</th><th scope="col">Result</th></tr></thead>
          <tbody>
            {r.partitions.map((p) => (
              <tr key={`${p.target}/${p.partition}/${p.target_partition}`}>
                <td class="topic">{p.source}</td><td class="topic">{p.target}</td><td class="num">{p.partition}{p.target_partition !== undefined && ` → ${p.target_partition}`}</td><td class="num">{count(p.planned)}</td><td class="num">{count(p.read_back)}</td>
                <td class="mono" title={`planned ${p.planned_hash}\nread back ${p.read_back_hash}`}>{shortID(p.read_back_hash)}</td>
                <td>{p.matches ? <span class="state s-done"><span class="statemark" aria-hidden="true">✓</span>equal</span> : <span class="state s-failed"><span class="statemark" aria-hidden="true">✕</span>differs</span>}{p.difference && <small> {p.difference}</small>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** A plan: what, how much, where to, and what to know before it runs. */
export function PlanView(props: { plan: ReplayPlan }): JSX.Element {
  const p = props.plan;
  return (
    <div class="plan">
      <dl class="tiles">
        <div><dt>Records</dt><dd>{count(p.records)}<small>sealed and committed</small></dd></div>
        <div><dt>Bytes</dt><dd>{bytes(p.bytes)}<small>{plural(p.segments, "segment")} to read</small></dd></div>
        <div><dt>Topics</dt><dd>{count(p.topics.length)}<small>{plural(p.topics.reduce((n, t) => n + t.partitions, 0), "partition")}</small></dd></div>
      </dl>
      {p.needs_approval && <p class="note">Somebody else must approve it before anything is produced.</p>}
      {p.warnings.length > 0 && <ul class="warnings" aria-label="Warnings">{p.warnings.map((w) => <li key={w}>{w}</li>)}</ul>}
      {p.oversized && p.oversized.length > 0 && (
        <ul class="warnings" aria-label="Records larger than their target takes">
          {p.oversized.map((o) => <li key={o.source}>{plural(o.records, "record")} of {o.source} {o.records === 1 ? "is" : "are"} larger than the {count(o.limit)} bytes that {o.target} takes, such as partition {o.first[0]?.partition} offset {o.first[0]?.offset}: {o.action === "skip" ? "left out" : "the limit is raised"}.</li>)}
        </ul>
      )}
      {p.untold && p.untold.length > 0 && (
        <ul class="warnings" aria-label="Records of which the filter cannot tell">
          {p.untold.map((u) => <li key={u.source}>Of {plural(u.records, "record")} of {u.source} the filter cannot tell, such as partition {u.first[0]?.partition} offset {u.first[0]?.offset} ({u.first[0]?.reason}): left out.</li>)}
        </ul>
      )}
      <div class="tablewrap">
        <table aria-label="Sources and targets">
          <thead><tr><th scope="col">Source</th><th scope="col">Target</th><th scope="col" class="num">Partitions</th><th scope="col" class="num">Records</th><th scope="col" class="num">Bytes</th></tr></thead>
          <tbody>{p.topics.map((t) => <tr key={t.topic_id + t.target} title={t.target_config && Object.entries(t.target_config).map((c) => c.join("=")).join("\n")}><td class="topic">{t.source}</td><td class="topic">{t.target}</td><td class="num">{t.partitions}</td><td class="num">{count(t.records)}</td><td class="num">{bytes(t.bytes)}</td></tr>)}</tbody>
        </table>
      </div>
      <Facts>
        {p.request.trace_id && <Fact name="Trace"><ID id={p.request.trace_id} what="trace id" href={pages.trace(p.request.trace_id)} /></Fact>}
        {p.terms.map((t) => <Fact key={t.name + t.value} name={t.name}>{t.value}</Fact>)}
        {p.estimated_seconds !== undefined && <Fact name="As fast as possible">about {duration(p.estimated_seconds * 1000)}</Fact>}
        {p.topics.map((t) => t.schemas && <Fact key={t.target} name={`Schemas of ${t.source}`}>{t.schemas.join(", ")}{t.more_schemas && ", and more"}</Fact>)}
        {p.from && p.to && <Fact name="Record times"><Time at={p.from} /> – <Time at={p.to} /></Fact>}
        <Fact name="Plan"><span class="id">{p.id}<Copy text={p.id} what="plan id" /></span></Fact>
      </Facts>
    </div>
  );
}
