// Everything that is archived of one record.
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { paths, valueURL } from "../api/client";
import type { ArchivedRecord, HeaderField } from "../api/types";
import { useKeys } from "../app/keys";
import { useResource } from "../app/resource";
import { go, lastResults, pages, useLocation } from "../app/router";
import { bytes, fromBase64, hexLines, position } from "../lib/format";
import { Payload } from "../ui/json";
import { Copy, EventType, Fact, Facts, ID, Place, SealMark, Service, StagePill, Time } from "../ui/parts";
import { ProblemBox, Skeleton } from "../ui/states";

export function RecordPage(props: { topic: string; partition: number; offset: number }): JSX.Element {
  const { params } = useLocation();
  const branch = params.get("branch");
  const at = { ...props, topic_id: params.get("topic_id") ?? undefined, branch: branch === null ? undefined : Number(branch) };
  const record = useResource<ArchivedRecord>(paths.record(at));
  const name = position(props);
  useEffect(() => { document.title = `${name} · Annals`; }, [name]);
  const r = record.data;
  const trace = r?.trace_id ? pages.trace(r.trace_id, { hop: position(r.coordinates) }) : undefined;
  useKeys({
    Escape: () => go(lastResults()),
    Enter: () => (trace ? go(trace) : false),
    "]": () => go(pages.record({ ...props, offset: props.offset + 1 })),
    "[": () => (props.offset > 0 ? go(pages.record({ ...props, offset: props.offset - 1 })) : false),
  });
  return (
    <div class="page record">
      <nav class="crumbs" aria-label="Where this is"><a href={lastResults()}>Results</a><span aria-hidden="true">/</span>{trace && <><a href={trace}>Trace</a><span aria-hidden="true">/</span></>}<span>Record</span></nav>
      <div class="bar">
        <h1 class="mono copied"><span>{name}</span><Copy text={name} what="position" /></h1>
        <span class="spacer" />
        <span class="stepper">
          {props.offset > 0 ? <a class="button" href={pages.record({ ...props, offset: props.offset - 1 })} aria-label="Record before this one">←</a> : <span class="button off" aria-hidden="true">←</span>}
          <a class="button" href={pages.record({ ...props, offset: props.offset + 1 })} aria-label="Record after this one">→</a>
        </span>
        {trace && <a class="button primary" href={trace}>Open its trace</a>}
      </div>
      {record.problem && <ProblemBox problem={record.problem} retry={record.reload} />}
      {!r && !record.problem && <Skeleton rows={12} label="Reading the record from its segment" />}
      {r && <Body record={r} />}
    </div>
  );
}

function Body(props: { record: ArchivedRecord }): JSX.Element {
  const r = props.record;
  const c = r.coordinates;
  return (
    <div class="split">
      <div class="stack">
        <section class="card">
          <h2>Value</h2>
          <Payload bytes={r.value} what="value" download={valueURL(c)} />
        </section>
        {r.decoded && <section class="card">
          <h2>Decoded <span class="faint">schema {r.decoded.schema_id} {r.decoded.schema_type} {r.decoded.schema_name}</span></h2>
          {r.decoded.value ? <Payload bytes={r.decoded.value} what="decoded value" /> : <p class="nothing">{r.decoded.reason} {r.decoded.detail}</p>}
        </section>}
        <section class="card">
          <h2>Key</h2>
          <Payload bytes={r.key} what="key" />
        </section>
        <section class="card">
          <h2>Headers <span class="faint">{r.headers.length}</span></h2>
          <Headers list={r.headers} />
        </section>
      </div>
      <aside class="stack" aria-label="About the record">
        <section class="card">
          <h2>Event</h2>
          <Facts>
            <Fact name="Type"><EventType hit={r} /></Fact>
            <Fact name="Service"><Service name={r.source_service} /></Fact>
            <Fact name="Stage"><StagePill stage={r.stage} /></Fact>
            {r.event_time && <Fact name="Event time"><Time at={r.event_time} /></Fact>}
            <Fact name="Trace"><ID id={r.trace_id} what="trace id" {...(r.trace_id ? { href: pages.trace(r.trace_id) } : {})} /></Fact>
            <Fact name="Event id"><ID id={r.event_id} what="event id" /></Fact>
            {r.errors && r.errors.length > 0 && <Fact name="Contract errors"><ul class="plain">{r.errors.map((e) => <li key={e}>{e}</li>)}</ul></Fact>}
          </Facts>
        </section>
        <section class="card">
          <h2>Archive</h2>
          <Facts>
            <Fact name="State"><SealMark sealed={r.sealed} /><span class="faint"> · {r.sealed ? "in the ledger" : "searchable, not yet evidence"}</span></Fact>
            <Fact name="Read from"><span class="mono break">{r.source}</span></Fact>
            <Fact name="Status">{r.status}</Fact>
          </Facts>
        </section>
        <section class="card">
          <h2>Kafka</h2>
          <Facts>
            <Fact name="Position"><Place at={c} branch /></Fact>
            <Fact name="Topic id"><ID id={c.topic_id} what="topic id" /></Fact>
            <Fact name="Timestamp"><Time at={r.timestamp} /> <span class="faint">{r.timestamp_type}, {r.timestamp_ms} ms</span></Fact>
            <Fact name="Leader epoch">{r.leader_epoch < 0 ? <span class="faint">unknown</span> : r.leader_epoch}</Fact>
            <Fact name="Producer">{r.producer_id === "-1" ? <span class="faint">not idempotent</span> : `id ${r.producer_id}, epoch ${r.producer_epoch}`}</Fact>
            <Fact name="Size">{bytes(r.bytes)}</Fact>
          </Facts>
        </section>
        <section class="card">
          <h2>Causes <span class="faint">{r.causes.length}</span></h2>
          {r.causes.length === 0 ? <p class="nothing">The record names no cause.</p>
            : <ul class="ids">{r.causes.map((text, i) => <li key={text + i}><Cause text={text} /></li>)}</ul>}
        </section>
        <section class="card">
          <h2>Identifiers <span class="faint">{r.identifiers.length}</span></h2>
          {r.identifiers.length === 0 ? <p class="nothing">The record carries no id. It is found by its time, topic and position.</p>
            : <Facts>{r.identifiers.map((x, i) => <Fact key={x.role + x.id + i} name={x.role}><ID id={x.id} what={x.role} href={pages.search(x.id)} /></Fact>)}</Facts>}
        </section>
      </aside>
    </div>
  );
}

/** A cause as it is named: what kind of name, and the name to search for. */
function Cause(props: { text: string }): JSX.Element {
  const [, kind, id] = /^(event|span|record):(.+)$/s.exec(props.text) ?? [undefined, "", props.text];
  return <>{kind && <span class="faint">{kind} </span>}<a href={pages.search(id)}>{id}</a></>;
}

/** Headers in their order, duplicates too; a known binary one also as what it means. */
export function Headers(props: { list: HeaderField[] }): JSX.Element {
  if (props.list.length === 0) return <p class="nothing">No headers.</p>;
  return (
    <table class="headers" aria-label="Headers">
      <thead><tr><th scope="col">Name</th><th scope="col">Value</th></tr></thead>
      <tbody>
        {props.list.map((h, i) => (
          <tr key={i}>
            <td class="mono">{h.name_base64 ? <span title="The name is not UTF-8; it is shown in base64">{h.name_base64} <span class="tag">not UTF-8</span></span> : h.name || <span class="faint">(empty name)</span>}</td>
            <td class="mono break"><HeaderValue field={h} /></td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function HeaderValue(props: { field: HeaderField }): JSX.Element {
  const { value, decoded } = props.field;
  if (value.is_null) return <span class="faint">null</span>;
  if (value.format === "empty") return <span class="faint">empty</span>;
  const shown = value.format === "binary" ? hexLines(fromBase64(value.base64 ?? ""), 64).lines.map((l) => l.slice(8, 56).trim()).join(" ") : (value.text ?? "");
  return <>{decoded !== undefined && <span class="decoded">{decoded} <span class="faint">from bytes</span> </span>}<span class={decoded !== undefined ? "faint" : undefined}>{shown}</span>{value.size > 64 && value.format === "binary" && <span class="faint"> … {bytes(value.size)}</span>}</>;
}
