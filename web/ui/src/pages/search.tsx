// The home page: the newest records, filtered records, or what an id is.
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { matchesURL, paths } from "../api/client";
import type { Hit, RecordPage } from "../api/types";
import { useKeys } from "../app/keys";
import { later } from "../app/later";
import { useResource } from "../app/resource";
import { go, pages, rememberResults, setParams, useLocation } from "../app/router";
import { plural } from "../lib/format";
import { parseQuery, readsBytes } from "../lib/query";
import { Empty, FaultyQuery, ProblemBox, SearchedLine, Skeleton } from "../ui/states";
import { DemoBanner } from "./demo";
import { Identified } from "./identify";
import { HitTable, openHit } from "./hits";

const Scanned = later(() => import("./later").then((m) => m.Scanned));

const pageSize = 100;
const tailSize = 200;

export function SearchPage(props: { demo: boolean }): JSX.Element {
  const { params } = useLocation();
  const q = params.get("q") ?? "";
  const query = useMemo(() => parseQuery(q, window.location.origin), [q]);
  useEffect(() => { document.title = q ? `${q} · Annals` : "Annals"; }, [q]);
  useEffect(() => {
    if (query.kind === "position") go(pages.record(query), { replace: true });
    if (query.kind === "address") go(query.to, { replace: true });
  }, [query]);

  if (query.kind === "id") return <Identified key={query.id} id={query.id} />;
  if (query.kind === "position" || query.kind === "address") return <div class="page" />;
  if (query.kind === "terms" && readsBytes(q)) return <Scanned key={q} q={q} />;
  return <Results q={q.trim() === "" ? "" : q} demo={props.demo && q === ""} />;
}

function Results(props: { q: string; demo: boolean }): JSX.Element {
  const { params } = useLocation();
  const cursor = params.get("cursor") ?? undefined;
  const tail = params.get("tail") === "1" && !cursor;
  const path = paths.records({ q: props.q, limit: tail ? tailSize : pageSize, cursor });
  const page = useResource<RecordPage>(path, { every: tail ? 1000 : undefined, hold: true });
  const [chosen, choose] = useState(-1);
  const fresh = useArrivals(page.data?.records, tail);
  useEffect(() => choose(-1), [path]);
  useEffect(rememberResults, [path, props.q]);

  const faulty = page.problem?.field === "q" && page.problem.at !== undefined ? page.problem : undefined;
  const records = faulty ? [] : (page.data?.records ?? []);
  const toggleTail = (): void => setParams({ tail: tail ? undefined : "1", cursor: undefined });
  // A cursor is of one search: what is still on screen may be another's.
  const older = (): void => { if (page.data?.next_cursor && !page.stale) setParams({ cursor: page.data.next_cursor, tail: undefined }, {}); };
  useKeys({
    t: toggleTail,
    n: older,
    Escape: () => (cursor ? setParams({ cursor: undefined }, {}) : props.q ? go("/") : false),
  });

  if (faulty) return <div class="page"><FaultyQuery q={props.q} problem={faulty} /></div>;
  return (
    <div class="page">
      {props.demo && <DemoBanner newest={records[0]} />}
      <div class="bar">
        <h1>{props.q ? "Results" : "Newest records"}</h1>
        {page.data && <span class="count">{cursor ? "older · " : ""}{records.length === 0 ? "none" : page.data.next_cursor ? `${plural(records.length, "record")}, and more` : plural(records.length, "record")}</span>}
        <span class="spacer" />
        {records.length > 0 && <Export q={props.q} />}
        {cursor
          ? <button type="button" class="button" onClick={() => setParams({ cursor: undefined }, {})}>Newest</button>
          : <button type="button" class="button tail" aria-pressed={tail} onClick={toggleTail}><span class={tail ? "lamp live" : "lamp"} aria-hidden="true" />{tail ? "Live · pause" : "Live tail"}</button>}
      </div>
      {page.problem && <ProblemBox problem={page.problem} retry={page.reload} compact={records.length > 0} />}
      {!page.data && !page.problem && <Skeleton rows={14} label="Searching" />}
      {page.data && records.length === 0 && <NoResults q={props.q} page={page.data} />}
      {records.length > 0 && <HitTable hits={records} chosen={chosen} onChoose={choose} onOpen={openHit} fresh={fresh} dim={page.stale} label={props.q ? "Results" : "Newest records"} />}
      {page.data && (
        <footer class="tablefoot">
          {records.length > 0 && <SearchedLine searched={page.data.searched} />}
          {page.data.note && <p class="cut">{page.data.note}</p>}
          <span class="spacer" />
          {page.data.next_cursor && !tail && <button type="button" class="button" disabled={page.stale} onClick={older}>Older</button>}
        </footer>
      )}
    </div>
  );
}

/** All that a search finds, as a file. */
function Export(props: { q: string }): JSX.Element {
  return (
    <details class="health">
      <summary class="button">Export all</summary>
      <div class="pop">
        <p>Every sealed record that this search finds, not only this page:</p>
        <p class="formats">{["ndjson", "csv", "parquet"].map((f) => <a key={f} class="button" href={matchesURL(props.q, f)} download={`annals-records.${f}`}>{f === "csv" ? "CSV" : f === "ndjson" ? "NDJSON" : "Parquet"}</a>)}</p>
        <p class="faint">The last line of NDJSON, and annals.statement in Parquet, say whether that is all. A CSV has no place for it.</p>
      </div>
    </details>
  );
}

/** Which hits were not in the answer before, while the tail is on. */
function useArrivals(hits: Hit[] | undefined, on: boolean): Set<string> {
  const [seen] = useState({ keys: new Set<string>(), fresh: new Set<string>(), last: undefined as Hit[] | undefined });
  if (hits && hits !== seen.last) {
    const keys = new Set(hits.map(hitKey));
    seen.fresh = on && seen.last ? new Set([...keys].filter((k) => !seen.keys.has(k))) : new Set();
    seen.keys = keys;
    seen.last = hits;
  }
  return seen.fresh;
}

/** A record's identity as one text. */
export function hitKey(hit: Hit): string {
  const c = hit.coordinates;
  return `${c.topic_id}/${c.partition}/${c.branch}/${c.offset}`;
}

function NoResults(props: { q: string; page: RecordPage }): JSX.Element {
  if (props.q === "" && props.page.searched.records === 0) {
    return (
      <Empty title="The archive is empty">
        <p>Annals is running and has not archived a record yet. Every topic of the connected Kafka is archived unless the configuration excludes it: produce a record, and it is here about two seconds later.</p>
        <p>See <a href="/topics">Topics</a> for what Annals sees in Kafka and why a topic is left out. To look around with real data, stop and start with <code>annals up --demo</code>.</p>
      </Empty>
    );
  }
  return (
    <Empty title="No record matches">
      <p>Nothing in the archive fits <code>{props.q || "this page"}</code>. Filters narrow one another: take one away, or widen the time. Aborted records are left out unless you add <code>status:all</code>.</p>
      <SearchedLine searched={props.page.searched} />
    </Empty>
  );
}
