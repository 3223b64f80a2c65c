// Small pieces that several pages show.
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import type { Coordinates, Hit } from "../api/types";
import { pages } from "../app/router";
import { useSettings } from "../app/settings";
import { stamp } from "../lib/format";
import { stageLook } from "../lib/stages";

/** A stage's mark: a shape of its own, so that it is told without colour. */
export function StageMark(props: { stage: string; size?: number }): JSX.Element {
  const size = props.size ?? 12;
  return <svg class={`mark ${stageLook(props.stage).class}`} viewBox="-6 -6 12 12" width={size} height={size} aria-hidden="true">{stageShape(props.stage)}</svg>;
}

/** The shape itself, around 0,0, four units in radius; for use inside other drawings. */
export function stageShape(stage: string): JSX.Element {
  switch (stage) {
    case "ingestion": return <circle r="4.2" />;
    case "enrichment": return <path d="M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z" />;
    case "transformation": return <path d="M0-5 5 0 0 5-5 0z" />;
    case "delivery": return <path d="M-3.8-4.4 5 0-3.8 4.4z" />;
    case "dead-letter": return <path d="M-4.6-2.6-2.6-4.6 0-2 2.6-4.6 4.6-2.6 2 0 4.6 2.6 2.6 4.6 0 2-2.6 4.6-4.6 2.6-2 0z" />;
    case "replay": return <path fill-rule="evenodd" d="M0-5A5 5 0 1 1 0 5 5 5 0 0 1 0-5zM0-2.2A2.2 2.2 0 1 0 0 2.2 2.2 2.2 0 0 0 0-2.2z" />;
    default: return <path d="M-4-1.2h8v2.4h-8z" />;
  }
}

/** Mark and name of a stage. */
export function StagePill(props: { stage: string; short?: boolean }): JSX.Element {
  const look = stageLook(props.stage);
  return <span class="pill" title={`${look.name}: ${look.means}`}><StageMark stage={props.stage} />{look.name}</span>;
}

/** Whether a record is in the ledger. */
export function SealMark(props: { sealed: boolean; words?: boolean }): JSX.Element {
  const words = props.sealed ? "Sealed" : "Fresh";
  const title = props.sealed ? "Sealed: in the ledger" : "Fresh: searchable, not yet evidence";
  return (
    <span class={props.sealed ? "seal sealed" : "seal fresh"} title={title}>
      <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
        <circle cx="6" cy="6" r="4.5" />
        {props.sealed && <path d="M3.9 6.1 5.4 7.6 8.2 4.7" />}
      </svg>
      {words}
    </span>
  );
}

/** A time in the reader's zone; the date is quieter than the time. */
export function Time(props: { at: string | undefined | null; millis?: boolean }): JSX.Element {
  const { zone } = useSettings();
  if (!props.at) return <span class="faint">—</span>;
  const { date, time, millis } = stamp(props.at, zone);
  return <time class="time" dateTime={props.at} title={props.at}><span class="date">{date}</span> {time}{props.millis !== false && <span class="millis">{millis}</span>}</time>;
}

/** topic/partition/offset; the topic is what the eye looks for. */
export function Place(props: { at: Coordinates; link?: boolean; branch?: boolean }): JSX.Element {
  const { topic, partition, offset, branch } = props.at;
  const inner = <><span class="topic">{topic}</span><span class="slot">/{partition}/{offset}</span>{branch > 0 && <span class="faint" title="Branch of the partition after a divergence"> branch {branch}</span>}</>;
  return props.link ? <a class="place" href={pages.record(props.at)}>{inner}</a> : <span class="place">{inner}</span>;
}

/** Event type and version; a record without one says so. */
export function EventType(props: { hit: Pick<Hit, "event_type" | "event_version"> }): JSX.Element {
  const { event_type: type, event_version: version } = props.hit;
  if (!type) return <span class="faint">no event type</span>;
  return <span class="event">{type}{version && <span class="version">v{version.replace(/^v/i, "")}</span>}</span>;
}

/** A service's name. */
export function Service(props: { name: string }): JSX.Element {
  return props.name ? <span class="service">{props.name}</span> : <span class="faint">unknown service</span>;
}

/** Copy a text, and say so. */
export function Copy(props: { text: string; what: string }): JSX.Element {
  const [said, say] = useState<"" | "Copied" | "Not allowed">("");
  const copy = async (event: Event): Promise<void> => {
    event.stopPropagation();
    try {
      await navigator.clipboard.writeText(props.text);
      say("Copied");
    } catch {
      say("Not allowed");
    }
    setTimeout(() => say(""), 1400);
  };
  return (
    <button type="button" class="copy" onClick={copy} aria-label={`Copy ${props.what}`} title={`Copy ${props.what}`}>
      {said === "" ? <svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true"><path d="M4.5 4.5v-2h7v7h-2M2.5 4.5h7v7h-7z" /></svg> : <span role="status">{said}</span>}
    </button>
  );
}

/** An id in full or cut, with its copy button. */
export function ID(props: { id: string; what: string; href?: string }): JSX.Element {
  if (!props.id) return <span class="faint">none</span>;
  return <span class="id">{props.href ? <a href={props.href}>{props.id}</a> : props.id}<Copy text={props.id} what={props.what} /></span>;
}

/** Name and value pairs. */
export function Facts(props: { children: ComponentChildren }): JSX.Element {
  return <dl class="facts">{props.children}</dl>;
}
export function Fact(props: { name: string; children: ComponentChildren }): JSX.Element {
  return <div><dt>{props.name}</dt><dd>{props.children}</dd></div>;
}

/** Tabs whose choice is somewhere else: in the address. */
export function Tabs<T extends string>(props: { label: string; tabs: { id: T; name: string; note?: string | undefined }[]; chosen: T; onChoose: (id: T) => void }): JSX.Element {
  const move = (event: KeyboardEvent, at: number): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = props.tabs[(at + step + props.tabs.length) % props.tabs.length]!;
    props.onChoose(next.id);
    ((event.currentTarget as HTMLElement).parentElement?.children[props.tabs.indexOf(next)] as HTMLElement | undefined)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label={props.label}>
      {props.tabs.map((tab, i) => (
        <button key={tab.id} type="button" role="tab" id={`tab-${tab.id}`} aria-selected={tab.id === props.chosen} tabIndex={tab.id === props.chosen ? 0 : -1}
          onClick={() => props.onChoose(tab.id)} onKeyDown={(e) => move(e, i)}>
          {tab.name}{tab.note !== undefined && <span class="note">{tab.note}</span>}
        </button>
      ))}
    </div>
  );
}

/** What a label for a hit says to a screen reader. */
export function hitLabel(hit: Hit): string {
  const c = hit.coordinates;
  return `${hit.event_type || "record"} in ${c.topic}, partition ${c.partition}, offset ${c.offset}`;
}
