// JSON as a tree, exact bytes as text or hex. Payloads are only ever text
// nodes. Big values are cut on screen, and the cut is said.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Bytes } from "../api/types";
import { ExactNumber } from "../lib/exact";
import { bytes as size, count, fromBase64, hexLines, plural } from "../lib/format";
import { Copy } from "./parts";

const mostChildren = 200;
const mostText = 200_000;

/** A JSON value as a tree; the first levels are open. */
export function JSONTree(props: { value: unknown }): JSX.Element {
  return <div class="json"><Node value={props.value} depth={0} last /></div>;
}

function Node(props: { name?: string; value: unknown; depth: number; last?: boolean }): JSX.Element {
  const { name, value, depth } = props;
  const [open, setOpen] = useState(depth < 3);
  const label = name === undefined ? null : <span class="jk">{name}<span class="jp">: </span></span>;
  if (value === null || typeof value !== "object" || value instanceof ExactNumber) return <div class="jl">{label}<Scalar value={value} /></div>;
  const entries: [string, unknown][] = Array.isArray(value) ? value.map((v, i) => [String(i), v]) : Object.entries(value);
  const [before, after] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (entries.length === 0) return <div class="jl">{label}<span class="jp">{before}{after}</span></div>;
  return (
    <div class="jn">
      <button type="button" class="jt" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span class="caret" aria-hidden="true" />{label}<span class="jp">{before}{!open && ` ${plural(entries.length, Array.isArray(value) ? "item" : "field")} ${after}`}</span>
      </button>
      {open && <div class="jc">{entries.slice(0, mostChildren).map(([k, v]) => <Node key={k} name={k} value={v} depth={depth + 1} />)}
        {entries.length > mostChildren && <div class="jl faint">… {count(entries.length - mostChildren)} more: see Text, or download the value</div>}</div>}
      {open && <div class="jl jp">{after}</div>}
    </div>
  );
}

/** A value that is not a container, coloured by its type. */
export function Scalar(props: { value: unknown }): JSX.Element {
  const { value } = props;
  if (value === undefined) return <span class="jx">absent</span>;
  if (value === null) return <span class="jx">null</span>;
  if (value instanceof ExactNumber) return <span class="jd">{value.source}</span>;
  if (typeof value === "string") return <span class="js">{JSON.stringify(value)}</span>;
  if (typeof value === "number" || typeof value === "bigint") return <span class="jd">{String(value)}</span>;
  if (typeof value === "boolean") return <span class="jb">{String(value)}</span>;
  return <span class="jo">{JSON.stringify(value)}</span>;
}

/** A key, value or header as it was sent, with every view that its format has. */
export function Payload(props: { bytes: Bytes; what: string; download?: string }): JSX.Element {
  const b = props.bytes;
  const views = b.format === "json" ? ["Tree", "Text", "Hex"] as const : b.format === "text" ? ["Text", "Hex"] as const : b.format === "binary" ? ["Hex"] as const : [];
  const [view, setView] = useState<string>(views[0] ?? "");
  const chosen = (views as readonly string[]).includes(view) ? view : views[0];
  if (b.format === "withheld") return <p class="nothing">withheld by the topic's policy</p>;
  if (b.is_null) return <p class="nothing">null <span class="faint">— {props.what === "value" ? "a tombstone: no value at all, which is not an empty one" : "absent, which is not empty"}</span></p>;
  if (b.format === "empty") return <p class="nothing">empty <span class="faint">— zero bytes, which is not null</span></p>;
  const raw = b.format === "binary" ? fromBase64(b.base64 ?? "") : new TextEncoder().encode((b.text ?? "").slice(0, mostText));
  return (
    <div class="payload">
      <div class="payload-bar">
        <span class="segmented" role="group" aria-label={`View of the ${props.what}`}>
          {views.map((v) => <button key={v} type="button" aria-pressed={v === chosen} onClick={() => setView(v)}>{v}</button>)}
        </span>
        <span class="faint">{size(b.size)}</span>
        <span class="spacer" />
        {b.format !== "binary" && <Copy text={b.text ?? ""} what={props.what} />}
        {props.download && <a class="quiet" href={props.download} download>Download raw</a>}
      </div>
      {b.truncated && <p class="cut">Only the first {size(raw.length)} are shown; the download has everything.</p>}
      {chosen === "Tree" && <JSONTree value={b.json} />}
      {chosen === "Text" && <pre class="raw" tabIndex={0}>{(b.text ?? "").slice(0, mostText)}</pre>}
      {chosen === "Hex" && <Hex data={raw} />}
    </div>
  );
}

function Hex(props: { data: Uint8Array }): JSX.Element {
  const { lines, cut } = hexLines(props.data);
  return <><pre class="raw hex" tabIndex={0}>{lines.join("\n")}</pre>{cut > 0 && <p class="cut">{size(cut)} more are not shown.</p>}</>;
}

/** A short text for bytes: a key in a table. */
export function brief(b: Bytes | undefined, most = 40): string {
  if (!b || b.is_null) return "";
  const text = b.format === "binary" ? `${count(b.size)} bytes` : (b.text ?? "");
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
