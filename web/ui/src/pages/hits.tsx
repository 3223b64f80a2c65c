// A table of hits, driven by keyboard or mouse; the rows are links.
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Hit } from "../api/types";
import { useKeys } from "../app/keys";
import { go, pages } from "../app/router";
import { useSettings } from "../app/settings";
import { bytes, position, shortID, zoneName } from "../lib/format";
import { EventType, hitLabel, Place, SealMark, Service, StagePill, Time } from "../ui/parts";
import { hitKey } from "./search";

/** Where a hit leads: its trace with the hit selected, else the record itself. */
export function hitHref(hit: Hit): string {
  return hit.trace_id ? pages.trace(hit.trace_id, { hop: position(hit.coordinates) }) : pages.record(hit.coordinates);
}

export const openHit = (hit: Hit): void => go(hitHref(hit));

interface Props {
  hits: Hit[];
  chosen: number;
  onChoose: (row: number) => void;
  onOpen: (hit: Hit) => void;
  label: string;
  fresh?: Set<string>;
  dim?: boolean;
  keys?: boolean;
}

export function HitTable(props: Props): JSX.Element {
  const { hits, chosen } = props;
  const { zone } = useSettings();
  const body = useRef<HTMLTableSectionElement>(null);
  const step = (by: number): void => props.onChoose(Math.max(0, Math.min(hits.length - 1, chosen + by)));
  useEffect(() => { if (chosen >= 0) body.current?.children[chosen]?.scrollIntoView({ block: "nearest" }); }, [chosen]);
  const at = hits[chosen];
  useKeys({
    j: () => step(1),
    ArrowDown: () => (chosen < 0 ? false : step(1)),
    k: () => step(-1),
    ArrowUp: () => (chosen < 0 ? false : step(-1)),
    Enter: () => (at ? props.onOpen(at) : false),
    o: () => (at ? go(pages.record(at.coordinates)) : false),
  }, props.keys !== false);

  return (
    <div class={props.dim ? "tablewrap dim" : "tablewrap"}>
      <table class="hits" role="grid" aria-label={props.label}>
        <thead>
          <tr>
            <th scope="col" class="c-time">Time <span class="unit">{zoneName(zone)}</span></th>
            <th scope="col" class="c-stage">Stage</th>
            <th scope="col" class="c-event">Event</th>
            <th scope="col" class="c-service">Service</th>
            <th scope="col" class="c-place">Topic / partition / offset</th>
            <th scope="col" class="c-trace">Trace</th>
            <th scope="col" class="c-bytes num">Size</th>
            <th scope="col" class="c-seal">State</th>
          </tr>
        </thead>
        <tbody ref={body}>
          {hits.map((hit, i) => {
            const key = hitKey(hit);
            return (
              <tr key={key} class={props.fresh?.has(key) ? "arrived" : undefined} aria-selected={i === chosen}
                onClick={(e) => { if (!(e.target as Element).closest("a, button")) { props.onChoose(i); props.onOpen(hit); } }}>
                <td class="c-time"><Time at={hit.timestamp} /></td>
                <td class="c-stage"><StagePill stage={hit.stage} /></td>
                <td class="c-event">
                  <a href={hitHref(hit)} aria-label={hitLabel(hit)}><EventType hit={hit} /></a>
                  {hit.status !== "committed" && <span class="tag">{hit.status}</span>}
                  {hit.errors && hit.errors.length > 0 && <span class="tag warn" title={hit.errors.join("\n")}>{hit.errors.length} contract {hit.errors.length === 1 ? "error" : "errors"}</span>}
                </td>
                <td class="c-service"><Service name={hit.source_service} /></td>
                <td class="c-place"><Place at={hit.coordinates} link /></td>
                <td class="c-trace mono">{hit.trace_id ? shortID(hit.trace_id) : <span class="faint">none</span>}</td>
                <td class="c-bytes num">{bytes(hit.bytes)}</td>
                <td class="c-seal"><SealMark sealed={hit.sealed} /></td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
