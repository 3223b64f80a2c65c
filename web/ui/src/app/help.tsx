import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

const groups: [string, [string, string][]][] = [
  ["Everywhere", [["/", "Search"], ["g", "Newest records"], ["Esc", "Back, or close"], ["z", "UTC or local time"], ["T", "Light or dark"], ["?", "This sheet"]]],
  ["Lists", [["j  k", "Next, previous row"], ["Enter", "Open the row"], ["o", "Open the record"], ["t", "Live tail"], ["n", "Older results"]]],
  ["Trace", [["1 – 4", "Waterfall, graph, table, JSON"], ["[  ]", "Collapse, expand all"], ["←  →", "Collapse, expand a group"], ["d", "What changed"], ["e", "Edges"], ["p", "Payload"], ["h", "Headers"], ["v", "A field through the trace"], ["u", "Go to the parent"], ["f", "Facts only"], ["w", "Whole flow"]]],
  ["Search box", [["4bf92f35…", "Any id: trace, event, span, cause"], ["topic/0/42", "A record's position"], ["topic: type: service: stage: status: version: partition:", "Terms; several together narrow"], ["type:FxRate*", "A * at the end: any rest"], ["after: before:", "2008-10-24, 2008-10-24T14:15Z, 2h"], ["↓  ↑", "Choose a term that completes"]]],
];

/** The keyboard sheet. A native dialog keeps the focus inside, and Esc closes it. */
export function HelpSheet(props: { onClose: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => { dialog.current?.showModal(); }, []);
  return (
    <dialog ref={dialog} class="sheet" aria-labelledby="help-title" onClose={props.onClose} onClick={(e) => { if (e.target === dialog.current) dialog.current?.close(); }}>
      <div class="sheet-body">
        <header><h2 id="help-title">Keyboard and search</h2><button type="button" class="tool" onClick={() => dialog.current?.close()}>Close</button></header>
        <div class="sheet-groups">
          {groups.map(([title, keys]) => (
            <section key={title}>
              <h3>{title}</h3>
              <dl>{keys.map(([key, what]) => <div key={key}><dt>{key.split("  ").map((k) => <kbd key={k}>{k}</kbd>)}</dt><dd>{what}</dd></div>)}</dl>
            </section>
          ))}
        </div>
      </div>
    </dialog>
  );
}
