// Whether everything is there, as far as ledger, index and Kafka tell.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Verdict } from "../api/types";
import { useResource } from "../app/resource";
import { count, plural, sentence } from "../lib/format";
import { gapWords, lacking, verdictLines } from "../lib/verdict";

const most = 50;

/** The verdict of a path: one line, which opens into the partitions. */
export function VerdictLine(props: { path: string }): JSX.Element {
  const { data: v, problem, reload } = useResource<Verdict>(props.path);
  const [open, setOpen] = useState(false);
  if (!v) {
    return problem
      ? <p class="cut">Whether everything is there is not known: {sentence(problem.message)} <button type="button" class="link" onClick={reload}>Ask again</button></p>
      : <p class="quiet" role="status">Asking whether everything is there…</p>;
  }
  const list = open ? lacking(v) : [];
  return (
    <details class="verdict" onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary><b class={v.complete ? "known" : "gap alarm"}>{v.complete ? "Complete" : "Not complete"}</b> {v.complete ? `as far as ledger, index and Kafka tell, in ${plural(v.partitions.length, "partition")}` : verdictLines(v).join("; ")}</summary>
      {v.notes.map((note) => <p class="cut" key={note}>{sentence(note)}</p>)}
      {list.length > 0 && (
        <table aria-label="Partitions that something is missing of">
          <thead><tr><th scope="col">Partition</th><th scope="col">Offsets</th><th scope="col">Missing</th><th scope="col" class="num">Not sealed</th><th scope="col" class="num">Not read</th></tr></thead>
          <tbody>{list.slice(0, most).map((p) => <tr key={`${p.topic_id}/${p.partition}`}><td>{p.topic}/{p.partition}</td><td>{count(p.from)} – {count(p.to)}</td><td>{gapWords(p.gaps) || "nothing"}</td><td class="num">{p.unsealed === undefined ? "not known" : count(p.unsealed)}</td><td class="num">{p.behind === undefined ? "not known" : count(p.behind)}</td></tr>)}</tbody>
        </table>
      )}
      {list.length > most && <p class="cut">The first {most} of {plural(list.length, "partition")}.</p>}
      <p class="faint">What is missing beside the time in question counts; <code>annals verify</code> proves it from the bytes.</p>
    </details>
  );
}
