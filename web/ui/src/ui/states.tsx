// What a page says while it has nothing, waits, or failed.
import type { ComponentChildren, JSX } from "preact";
import type { Problem } from "../api/client";
import type { Searched } from "../api/types";
import { useSettings } from "../app/settings";
import { instant, plural, sentence, zoneName } from "../lib/format";
import { aroundFault } from "../lib/query";

/** Nothing to show, and what to do about it. */
export function Empty(props: { title: string; children?: ComponentChildren }): JSX.Element {
  return <div class="empty"><h2>{props.title}</h2>{props.children}</div>;
}

/** An error as the server said it: what, where, what next. */
export function ProblemBox(props: { problem: Problem; retry?: () => void; compact?: boolean }): JSX.Element {
  const { problem } = props;
  return (
    <div class={props.compact ? "problem compact" : "problem"} role="alert">
      <h2>{sentence(problem.title, "")}</h2>
      <p>{sentence(problem.message)}</p>
      {problem.field && <p>Field: <code>{problem.field}</code></p>}
      {problem.hint && <p class="hint">{sentence(problem.hint)}</p>}
      {problem.searched && <SearchedLine searched={problem.searched} />}
      {props.retry && <button type="button" class="button" onClick={props.retry}>Try again</button>}
    </div>
  );
}

/** A search that could not be read: the text with a mark under the character at fault, and why. */
export function FaultyQuery(props: { q: string; problem: Problem }): JSX.Element {
  const { q, problem } = props;
  const { before, mark, after } = aroundFault(q, problem.at ?? 1);
  return (
    <div class="empty" role="alert">
      <h2>That search cannot be read</h2>
      <pre class="faulty" aria-label={`The search, at fault at character ${problem.at}`}>{before}<mark>{mark}</mark>{after}</pre>
      <p>{sentence(problem.message.replace(/^character \d+: /, ""))}</p>
      <p class="faint">Character {problem.at} of what was typed.</p>
    </div>
  );
}

/** What was searched, so that "nothing found" means something. */
export function SearchedLine(props: { searched: Searched; prefix?: string }): JSX.Element {
  const { zone } = useSettings();
  const { topics, records, fresh_to, sealed_to } = props.searched;
  if (topics === 0) return <p class="searched">Nothing is archived yet, so there was nothing to search.</p>;
  return (
    <p class="searched">
      {props.prefix}Searched {plural(records, "record")} in {plural(topics, "topic")}
      {fresh_to && <>, complete up to <time dateTime={fresh_to}>{instant(fresh_to, zone)}</time></>}
      {sealed_to && <>, sealed up to <time dateTime={sealed_to}>{instant(sealed_to, zone)}</time></>} <span class="faint">{zoneName(zone)}</span>
    </p>
  );
}

/** Grey lines where rows will stand, of the rows' own height. */
export function Skeleton(props: { rows: number; label: string }): JSX.Element {
  return (
    <div class="skeleton" role="status" aria-label={props.label}>
      {Array.from({ length: props.rows }, (_, i) => <div key={i} class={`bone w${(i * 7) % 5}`} />)}
    </div>
  );
}
