// What a step did to its parent's payload, field by field.
import type { JSX } from "preact";
import type { Change, Diff } from "../api/types";
import { plural } from "../lib/format";
import { Scalar } from "./json";

const words: Record<Change["op"], string> = { add: "Added", remove: "Removed", change: "Changed", move: "Moved" };
const signs: Record<Change["op"], string> = { add: "+", remove: "−", change: "~", move: "→" };
const order: Change["op"][] = ["change", "add", "remove", "move"];

/** Counts by kind, without the envelope: "3 changed, 5 added". */
export function summary(diff: Diff | undefined): string {
  if (!diff) return "";
  if (!diff.comparable) return "not comparable";
  const own = diff.changes.filter((c) => !c.envelope);
  if (own.length === 0) return "nothing changed";
  return order.map((op) => [own.filter((c) => c.op === op).length, words[op].toLowerCase()] as const).filter(([n]) => n > 0).map(([n, w]) => `${n} ${w}`).join(", ");
}

/** A diff; onField is told which field a reader wants to follow, by its JSON Pointer. */
export function DiffView(props: { diff: Diff; onField?: (pointer: string) => void }): JSX.Element {
  const { diff, onField } = props;
  if (!diff.comparable) return <p class="nothing">This step cannot be compared with its parent{diff.note ? `: ${diff.note}` : "."}</p>;
  const own = diff.changes.filter((c) => !c.envelope);
  const envelope = diff.changes.filter((c) => c.envelope);
  return (
    <div class="diff">
      {own.length === 0 && <p class="nothing">Nothing but the envelope changed.</p>}
      {order.map((op) => ({ op, list: own.filter((c) => c.op === op) })).filter((g) => g.list.length > 0).map((g) => (
        <section key={g.op} class={`op op-${g.op}`} aria-label={`${words[g.op]} fields`}>
          <h4>{words[g.op]} <span class="faint">{g.list.length}</span></h4>
          <Changes list={g.list} onField={onField} />
        </section>
      ))}
      {envelope.length > 0 && (
        <details class="envelope">
          <summary>{plural(envelope.length, "envelope field")} that every hop rewrites</summary>
          <Changes list={envelope} onField={onField} />
        </details>
      )}
      {(diff.truncated || diff.note) && <p class="cut">{diff.note ?? "A limit cut this comparison."}</p>}
    </div>
  );
}

function Changes(props: { list: Change[]; onField: ((pointer: string) => void) | undefined }): JSX.Element {
  return (
    <ul class="changes">
      {props.list.map((c) => (
        <li key={c.op + c.path} class={`c-${c.op}`}>
          <span class="sign" aria-hidden="true">{signs[c.op]}</span>
          <span class="sr">{words[c.op]}: </span>
          <span class="path">{props.onField && c.path ? <button type="button" class="plain" title="Follow this field through the trace" onClick={() => props.onField!(c.path)}>{pointer(c.path)}</button> : pointer(c.path)}</span>
          <span class="values">
            {c.op === "move" ? <span class="faint">from {pointer(c.moved_from ?? "")}</span> : null}
            {(c.op === "change" || c.op === "remove") && <del><Scalar value={c.from} /></del>}
            {c.op === "change" && <span class="arrow" aria-label="became">→</span>}
            {(c.op === "change" || c.op === "add") && <ins><Scalar value={c.to} /></ins>}
          </span>
        </li>
      ))}
    </ul>
  );
}

/** A JSON Pointer as people write paths: /a/b~1c → a.b/c. */
export function pointer(path: string): string {
  if (path === "") return "(the whole value)";
  return path.split("/").slice(1).map((p) => p.replaceAll("~1", "/").replaceAll("~0", "~")).join(".");
}
