// One field through the trace: what each hop did to it.
import type { JSX } from "preact";
import { paths } from "../../api/client";
import type { FieldHistory, Trace } from "../../api/types";
import { useResource } from "../../app/resource";
import { setParams, useLocation } from "../../app/router";
import { plural, position } from "../../lib/format";
import { changeWords, stepsLine, stepsOn } from "../../lib/field";
import { pointer as dotted } from "../../ui/diff";
import { Scalar } from "../../ui/json";
import { StageMark } from "../../ui/parts";
import { ProblemBox, Skeleton } from "../../ui/states";
import type { TraceState } from "./page";

export function FieldPanel(props: { trace: Trace; hop: number; state: TraceState }): JSX.Element {
  const { trace, state } = props;
  const { params } = useLocation();
  const [pointer, all] = [params.get("field") ?? "", params.get("of") === "all"];
  const history = useResource<FieldHistory>(pointer ? paths.field(trace.trace_id, pointer) : undefined);
  const every = history.data?.steps ?? [];
  const own = stepsOn(every, trace.hops, state.links, props.hop);
  const steps = all ? every : own;
  const follow = (event: Event): void => {
    event.preventDefault();
    const text = (new FormData(event.currentTarget as HTMLFormElement).get("field") as string).trim();
    setParams({ field: text && !text.startsWith("/") ? `/${text}` : text });
  };
  return (
    <>
      <form class="moment" onSubmit={follow}><input key={pointer} type="text" name="field" defaultValue={pointer} placeholder="/order/total" aria-label="JSON Pointer of the field" /><button type="submit" class="button">Follow</button></form>
      {!pointer && <p class="nothing">Choose a field among the changes, or write its JSON Pointer.</p>}
      {history.problem && <ProblemBox problem={history.problem} retry={history.reload} compact />}
      {pointer && !history.data && !history.problem && <Skeleton rows={6} label="Following the field" />}
      {history.data && <p class="against"><b>{dotted(pointer)}</b>, {all ? "in the whole trace" : "on the path of this hop"}: {stepsLine(steps)}.{every.length > own.length && <> <button type="button" class="link" onClick={() => setParams({ of: all ? undefined : "all" })}>{all ? "Only this hop’s path" : `All ${plural(every.length, "hop")}`}</button></>}</p>}
      {history.data?.truncated && <p class="cut">The trace has more hops than were followed.</p>}
      <ol class="edge-list">
        {steps.map((s) => {
          const place = position(s.record.coordinates);
          const at = trace.hops.findIndex((h) => position(h.coordinates) === place);
          return (
            <li key={place} aria-current={at === props.hop}>
              <button type="button" class="edge-to" onClick={() => state.select(at)}><StageMark stage={s.record.stage} /><span class="event">{s.record.event_type || "record"}</span> <span class="mono faint">{place}</span></button>
              <span class="mono"><span class="known">{changeWords[s.change]}</span> {s.value !== undefined && <Scalar value={s.value} />} {s.moved_from && <>moved from {dotted(s.moved_from)}</>} <span class="faint">{s.note}</span></span>
            </li>
          );
        })}
      </ol>
    </>
  );
}
