// Records found by their bytes: the archive is read while the page is open.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { asProblem, type Problem, scan } from "../api/client";
import type { Hit, ScanEnd, ScanProgress } from "../api/types";
import { useKeys } from "../app/keys";
import { go, rememberResults } from "../app/router";
import { bytes, count, plural } from "../lib/format";
import { Empty, FaultyQuery, ProblemBox } from "../ui/states";
import { HitTable, openHit } from "./hits";

const most = 200;

interface State {
  hits: Hit[];
  progress: ScanProgress | undefined;
  end: ScanEnd | undefined;
  problem: Problem | undefined;
}

const nothing: State = { hits: [], progress: undefined, end: undefined, problem: undefined };

export function Scanned(props: { q: string }): JSX.Element {
  const { q } = props;
  const [state, set] = useState(nothing);
  const [turn, setTurn] = useState(0);
  const [chosen, choose] = useState(-1);
  useEffect(rememberResults, [q]);
  useEffect(() => {
    const abort = new AbortController();
    set(nothing);
    scan(q, most, (line) => set((old) => ({
      ...old,
      hits: line.record ? [...old.hits, line.record] : old.hits,
      progress: line.progress ?? line.end?.read ?? old.progress,
      end: line.end ?? old.end,
    })), abort.signal).catch((thrown) => {
      if (!abort.signal.aborted) set((old) => ({ ...old, problem: asProblem(thrown) }));
    });
    return () => abort.abort();
  }, [q, turn]);
  useKeys({ Escape: () => go("/") });

  const { hits, progress, end, problem } = state;
  if (problem?.field === "q" && problem.at !== undefined) return <div class="page"><FaultyQuery q={q} problem={problem} /></div>;
  return (
    <div class="page">
      <div class="bar">
        <h1>{end || problem ? "Read from the archive" : "Reading the archive"}</h1>
        <span class="count" role="status">{plural(hits.length, "record")} found{progress && <>, searched {count(progress.records)} of {plural(progress.of_records, "record")}, {bytes(progress.bytes)} of {bytes(progress.of_bytes)}</>}</span>
        {!end && !problem && <progress class="scanbar" aria-label="How much of what is in range was read" value={progress?.bytes ?? 0} max={progress?.of_bytes || 1} />}
      </div>
      {problem && <ProblemBox problem={problem} retry={() => setTurn((n) => n + 1)} compact={hits.length > 0} />}
      {hits.length > 0 && <HitTable hits={hits} chosen={chosen} onChoose={choose} onOpen={openHit} label="Records found in the archive" />}
      {end && hits.length === 0 && <Empty title="No record matches"><p>What was read holds nothing that fits <code>{q}</code>.</p></Empty>}
      {end && <Ended end={end} />}
    </div>
  );
}

/** What was read, and what was not. */
function Ended(props: { end: ScanEnd }): JSX.Element {
  const { end } = props;
  return (
    <footer class="tablefoot scanend">
      <p class="searched">{end.complete ? "Everything in range was read." : "Not everything was read:"}</p>
      {end.stopped === "limit" && <p class="cut">{plural(end.found, "record")} were found, and the rest was not looked for. Narrow the search, or go on with <code>before:</code>.</p>}
      {end.stopped === "bytes" && <p class="cut">The configuration allows no more bytes (search.scan_bytes). Narrow topics and time.</p>}
      {end.stopped === "time" && <p class="cut">The configuration allows no more time (search.scan_time). Narrow topics and time.</p>}
      {end.unsealed === undefined && <p class="cut">The index does not answer, so how many records are not sealed is not known.</p>}
      {!!end.unsealed && <p class="cut">{plural(end.unsealed, "record")} of these topics are not sealed yet.</p>}
      {end.opaque > 0 && <p class="cut">{plural(end.opaque, "value")} are no JSON, and no pointer looks into them.</p>}
      {end.unknown_topics?.map((u) => <p class="cut" key={u.topic}>No topic {u.topic} is sealed.</p>)}
    </footer>
  );
}
