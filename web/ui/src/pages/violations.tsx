// Which rules of contracts sealed records break, and the way to those records.
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { paths } from "../api/client";
import type { Violation, ViolationList } from "../api/types";
import { useKeys } from "../app/keys";
import { useResource } from "../app/resource";
import { go, pages, setParams, useLocation } from "../app/router";
import { violationQuery } from "../lib/contracts";
import { count, plural } from "../lib/format";
import { parseTime } from "../lib/query";
import { EventType, Place, Service, Time } from "../ui/parts";
import { Empty, ProblemBox, Skeleton } from "../ui/states";

const spans = [["", "All time"], ["30d", "30 days"], ["7d", "7 days"], ["1d", "1 day"]] as const;

/** What narrows the list: names in the address, and what they are called. */
const narrow = { topic: "topic", type: "type", service: "producer", rule: "rule" } as const;
type Narrow = keyof typeof narrow;

const all = { topic: undefined, type: undefined, service: undefined, rule: undefined, since: undefined };

export function Violations(): JSX.Element {
  const { params } = useLocation();
  const [topic, type, service, rule, since] = ["topic", "type", "service", "rule", "since"].map((name) => params.get(name) ?? "") as [string, string, string, string, string];
  // An age is counted from when it was chosen, so that drawing again asks nothing new.
  const from = useMemo(() => (since ? (parseTime(since) ?? since) : ""), [since]);
  const page = useResource<ViolationList>(paths.violations({ topic, event_type: type, service, rule, from, limit: 200 }), { hold: true });
  const [chosen, choose] = useState(-1);
  const list = page.data?.violations ?? [];
  const set = (Object.keys(narrow) as Narrow[]).filter((name) => params.get(name));
  const filtered = set.length > 0 || since !== "";
  const records = (v: Violation | undefined): unknown => (v ? go(pages.search(violationQuery(v))) : false);
  useKeys({
    j: () => choose(Math.min(list.length - 1, chosen + 1)),
    k: () => choose(Math.max(0, chosen - 1)),
    Enter: () => records(list[chosen]),
    Escape: () => (filtered ? setParams(all) : setParams({ view: undefined })),
  });
  return (
    <>
      <div class="bar">
        {page.data && list.length > 0 && <span class="count">{page.data.more ? `the first ${count(list.length)} groups` : plural(list.length, "group")}, {plural(list.reduce((n, v) => n + v.records, 0), "violation")}</span>}
        {set.map((name) => <button key={name} type="button" class="tag chip" aria-label={`No longer only ${narrow[name]} ${params.get(name)}`} onClick={() => setParams({ [name]: undefined })}>{narrow[name]} {params.get(name)} <span aria-hidden="true">×</span></button>)}
        <span class="spacer" />
        <span class="segmented" role="group" aria-label="Of segments with records of the last">
          {spans.map(([id, name]) => <button key={id} type="button" aria-pressed={since === id} onClick={() => setParams({ since: id || undefined })}>{name}</button>)}
        </span>
      </div>
      {page.problem && <ProblemBox problem={page.problem} retry={page.reload} compact={list.length > 0} />}
      {!page.data && !page.problem && <Skeleton rows={6} label="Counting the violations" />}
      {page.data && list.length === 0 && (
        <Empty title={filtered ? "No violation matches" : "No sealed record breaks a rule"}>
          <p>{filtered ? "Take a filter away, or widen the time." : "Events are held to the contract of their type and version when they are archived. Those of a type without a contract are held to none: the event types say which those are."}</p>
        </Empty>
      )}
      {list.length > 0 && (
        <div class={page.stale ? "tablewrap dim" : "tablewrap"}>
          <table class="listed" role="grid" aria-label="Contract violations">
            <thead><tr><th scope="col">Rule</th><th scope="col">Topic</th><th scope="col">Event</th><th scope="col">Producer</th><th scope="col">Team</th><th scope="col" class="num">Records</th><th scope="col">First</th><th scope="col">Last</th><th scope="col">Newest</th></tr></thead>
            <tbody>{list.map((v, i) => <Row key={violationQuery(v)} v={v} chosen={i === chosen} />)}</tbody>
          </table>
        </div>
      )}
      {page.data && list.length > 0 && <p class="searched">Counts are of sealed, committed records{since && "; a segment with records of that time counts whole"}.{page.data.more && <span class="cut"> There are more than these: narrow by topic, type or producer.</span>}</p>}
    </>
  );
}

function Row(props: { v: Violation; chosen: boolean }): JSX.Element {
  const { v } = props;
  const only = (name: Narrow, value: string, shown: JSX.Element): JSX.Element =>
    value ? <button type="button" class="plain" title={`Only this ${narrow[name]}`} onClick={() => setParams({ [name]: value })}>{shown}</button> : shown;
  return (
    <tr aria-selected={props.chosen}>
      <td class="break"><a class="mono" href={pages.search(violationQuery(v))} title="The records that break it">{v.rule}</a></td>
      <td>{only("topic", v.topic, <span class="topic">{v.topic}</span>)}</td>
      <td>{only("type", v.event_type, <EventType hit={v} />)}</td>
      <td>{only("service", v.source_service, <Service name={v.source_service} />)}</td>
      <td>{v.team || <span class="faint">nobody</span>}</td>
      <td class="num">{count(v.records)}</td>
      <td><Time at={v.first_timestamp} millis={false} /></td>
      <td><Time at={v.last_timestamp} millis={false} /></td>
      <td><Place at={v.newest} link /></td>
    </tr>
  );
}
