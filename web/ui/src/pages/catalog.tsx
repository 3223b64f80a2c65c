// The event catalog: which types there are, in which versions, who makes them,
// who may read them, who owns them, and what their contracts find.
import type { JSX } from "preact";
import { Fragment } from "preact";
import { useEffect, useState } from "preact/hooks";
import { paths } from "../api/client";
import type { Catalog, CatalogType } from "../api/types";
import { useKeys } from "../app/keys";
import { useResource } from "../app/resource";
import { go, lastResults, pages, setParams, useLocation } from "../app/router";
import { consumersLine, unregistered } from "../lib/contracts";
import { bytes, count, duration, plural, position, sentence } from "../lib/format";
import { term } from "../lib/query";
import { JSONTree } from "../ui/json";
import { Fact, Facts, Place, Service, Tabs, Time } from "../ui/parts";
import { Empty, ProblemBox, Skeleton } from "../ui/states";
import { Violations } from "./violations";

export function CatalogPage(): JSX.Element {
  const { params } = useLocation();
  const view = params.get("view") === "violations" ? "violations" : "types";
  useEffect(() => { document.title = "Event catalog · Annals"; }, []);
  return (
    <div class="page">
      <div class="bar">
        <h1>Event catalog</h1>
        <span class="spacer" />
        <Tabs label="Views of the catalog" chosen={view} onChoose={(id) => go(pages.catalog({ view: id === "types" ? undefined : id }))} tabs={[{ id: "types", name: "Event types" }, { id: "violations", name: "Contract violations" }]} />
      </div>
      <div role="tabpanel" aria-labelledby={`tab-${view}`}>{view === "types" ? <Types /> : <Violations />}</div>
    </div>
  );
}

function Types(): JSX.Element {
  const { params } = useLocation();
  const [open, team] = [params.get("open") ?? "", params.get("team") ?? ""];
  const page = useResource<Catalog>(paths.catalog());
  const [chosen, choose] = useState(-1);
  const every = page.data?.event_types ?? [];
  const list = team ? every.filter((t) => t.team === team) : every;
  const toggle = (type: string): void => setParams({ open: open === type ? undefined : type });
  useKeys({
    j: () => choose(Math.min(list.length - 1, chosen + 1)),
    k: () => choose(Math.max(0, chosen - 1)),
    Enter: () => (list[chosen] ? toggle(list[chosen].event_type) : false),
    Escape: () => (open ? setParams({ open: undefined }) : team ? setParams({ team: undefined }) : go(lastResults())),
  });
  return (
    <>
      {page.data && (
        <div class="bar">
          <span class="count">{plural(list.length, "event type")}{team && ` of ${count(every.length)}, of the team ${team}`}</span>
          {team && <button type="button" class="button" onClick={() => setParams({ team: undefined })}>Show all</button>}
        </div>
      )}
      {page.data?.notes.map((note) => <p key={note} class="note" role="note">{sentence(note)}</p>)}
      {page.data?.more && <p class="cut" role="note">There are more event types than can be shown; annals catalog TYPE shows any.</p>}
      {page.problem && <ProblemBox problem={page.problem} retry={page.reload} compact={list.length > 0} />}
      {!page.data && !page.problem && <Skeleton rows={8} label="Reading the catalog" />}
      {page.data && list.length === 0 && (
        <Empty title={team ? "No event type has this owner" : "No event type is known"}>
          <p>{team ? `None is owned by ${team}.` : "The catalog is derived from sealed records that name their type, and from contracts. Nothing is sealed yet, no record names a type, or no contract is registered."}</p>
        </Empty>
      )}
      {list.length > 0 && (
        <div class="tablewrap">
          <table class="listed" role="treegrid" aria-label="Event types">
            <thead><tr><th scope="col">Event type</th><th scope="col">Versions</th><th scope="col">Team</th><th scope="col">Producers</th><th scope="col">Topics</th><th scope="col" class="num">Records</th><th scope="col" class="num">Size</th><th scope="col">Contract</th><th scope="col">Last record</th></tr></thead>
            <tbody>
              {list.map((t, i) => (
                <Fragment key={t.event_type}>
                  <Row type={t} open={open === t.event_type} chosen={i === chosen} onToggle={() => { choose(i); toggle(t.event_type); }} />
                  {open === t.event_type && <tr class="under" aria-level={2}><td colSpan={9}><Detail type={t} /></td></tr>}
                </Fragment>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {list.length > 0 && <p class="searched">Counts are of sealed, committed records.</p>}
    </>
  );
}

function Row(props: { type: CatalogType; open: boolean; chosen: boolean; onToggle: () => void }): JSX.Element {
  const t = props.type;
  const none = unregistered(t);
  return (
    <tr aria-level={1} aria-expanded={props.open} aria-selected={props.chosen} onClick={(e) => { if (!(e.target as Element).closest("a, button")) props.onToggle(); }}>
      <td><button type="button" class="expander" aria-expanded={props.open} onClick={props.onToggle}><span class="caret" aria-hidden="true" />{t.event_type}</button></td>
      <td>{t.versions.map((v) => <span key={v.event_version} class="version">{v.event_version || "none"}</span>)}</td>
      <td>{t.team ? <button type="button" class="plain" title="Only this team" onClick={() => setParams({ team: t.team, open: undefined })}>{t.team}</button> : <span class="faint">nobody</span>}</td>
      <td>{t.producers.map((p) => p.service || "unknown").join(", ") || <span class="faint">none</span>}</td>
      <td>{t.topics.map((x) => x.topic).join(", ") || <span class="faint">none</span>}</td>
      <td class="num">{count(t.records)}</td>
      <td class="num">{bytes(t.bytes)}</td>
      <td>
        {t.with_errors > 0 ? <a class="gap alarm" href={pages.catalog({ view: "violations", type: t.event_type })}>{plural(t.with_errors, "record")} break a rule</a>
          : none.length > 0 ? <span class="faint">no contract{none.length < t.versions.length && ` of version ${none.join(", ")}`}</span> : t.records > 0 ? "kept" : <span class="faint">no record yet</span>}
      </td>
      <td><Time at={t.last_timestamp} millis={false} /></td>
    </tr>
  );
}

/** A type in full; the schema and the newest record come with it alone. */
function Detail(props: { type: CatalogType }): JSX.Element {
  const one = useResource<Catalog>(paths.catalog(props.type.event_type));
  const t = one.data?.event_types[0] ?? props.type;
  return (
    <div class="letter">
      {t.description && <p>{sentence(t.description)}</p>}
      <Facts>
        <Fact name="Versions">{t.versions.map((v) => (
          <div key={v.event_version}>{v.event_version || "none"}: {v.records > 0 ? <>{plural(v.records, "record")}, <Time at={v.first_timestamp} millis={false} /> – <Time at={v.last_timestamp} millis={false} /></> : "no record yet"} <span class="faint">{v.contract ? `contract ${v.contract}` : "no contract"}</span></div>
        ))}</Fact>
        <Fact name="Team">{t.team ? <>{t.team} <span class="faint">{t.team_by && `by ${t.team_by}`}</span></> : <span class="faint">neither a contract nor the configuration of its topics names one</span>}</Fact>
        <Fact name="Producers">{t.producers.length === 0 && <span class="faint">none</span>}{t.producers.map((p) => <div key={p.service}><Service name={p.service} />: {plural(p.records, "record")} <span class="faint">{p.declared ? "named by the contract" : "seen, named by no contract"}</span></div>)}</Fact>
        <Fact name="Topics">{t.topics.length === 0 && <span class="faint">none</span>}{t.topics.map((x) => <div key={x.topic}><a href={pages.topics(x.topic)}>{x.topic}</a>: {plural(x.records, "record")} <span class="faint">{x.declared ? "named by the contract" : "seen, named by no contract"}</span></div>)}</Fact>
        <Fact name="Consumers"><span title="Groups with committed offsets of its topics">{consumersLine(t)}</span> <span class="faint">{!t.consumers_known ? "Annals may not see the consumer groups" : `with offsets of these topics${t.consumers.length > 0 ? "; that they read this type of them is not known" : ""}`}</span></Fact>
        {(t.sla || t.max_delay_ms !== undefined) && <Fact name="Promised">{t.sla}{t.max_delay_ms !== undefined && <div>At most {duration(Number(t.max_delay_ms))} between event and record</div>}</Fact>}
        {t.with_errors > 0 && <Fact name="Violations"><a href={pages.catalog({ view: "violations", type: t.event_type })}>{plural(t.with_errors, "record")} break a rule</a></Fact>}
        <Fact name="Newest">{t.sample ? <><Place at={t.sample.coordinates} link /> <Time at={t.sample.timestamp} /></> : one.data ? <span class="faint">no record</span> : one.problem ? "—" : "…"} {t.sample?.trace_id && <a href={pages.trace(t.sample.trace_id, { hop: position(t.sample.coordinates) })}>its trace</a>}</Fact>
      </Facts>
      {one.problem && <ProblemBox problem={one.problem} retry={one.reload} compact />}
      {t.schema !== undefined && <details><summary>Schema of the newest version that has one</summary><JSONTree value={t.schema} /></details>}
      <p><a href={pages.search(term("type", t.event_type))}>Newest records</a></p>
    </div>
  );
}
