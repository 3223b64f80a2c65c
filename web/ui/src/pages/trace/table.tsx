// The hops as a plain table, in causal order.
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Trace } from "../../api/types";
import { useKeys } from "../../app/keys";
import { summary } from "../../ui/diff";
import { brief } from "../../ui/json";
import { EventType, Place, SealMark, Service, StagePill, Time } from "../../ui/parts";
import type { TraceState } from "./page";

export function HopTable(props: { trace: Trace; state: TraceState }): JSX.Element {
  const { trace, state } = props;
  const body = useRef<HTMLTableSectionElement>(null);
  const step = (by: number): void => state.select(Math.max(0, Math.min(trace.hops.length - 1, state.selected < 0 ? 0 : state.selected + by)));
  useKeys({ j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1) });
  useEffect(() => { if (state.selected >= 0) body.current?.children[state.selected]?.scrollIntoView({ block: "nearest" }); }, [state.selected]);
  return (
    <div class="tablewrap flush">
      <table role="grid" aria-label="Hops in causal order">
        <thead><tr><th scope="col" class="num">#</th><th scope="col" class="num">Depth</th><th scope="col">Time</th><th scope="col">Stage</th><th scope="col">Event</th><th scope="col">Service</th><th scope="col">Key</th><th scope="col">Position</th><th scope="col" class="num">Parents</th><th scope="col">What it did</th><th scope="col">State</th></tr></thead>
        <tbody ref={body}>
          {trace.hops.map((h, i) => (
            <tr key={i} aria-selected={i === state.selected} onClick={(e) => { if (!(e.target as Element).closest("a, button")) state.select(i); }}>
              <td class="num faint">{i + 1}</td><td class="num">{h.depth}</td><td><Time at={h.timestamp} /></td><td><StagePill stage={h.stage} /></td>
              <td><EventType hit={h} /></td><td><Service name={h.source_service} /></td><td class="mono">{brief(h.key, 24)}</td><td><Place at={h.coordinates} link /></td>
              <td class="num">{state.links.into[i]!.length}</td><td class="faint nowrap">{summary(h.diff)}</td><td><SealMark sealed={h.sealed} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
