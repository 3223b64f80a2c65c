// The fields of how fast a replay produces.
import type { JSX } from "preact";
import type { Fault, PaceForm } from "../lib/pace";

export function PaceFields(props: { form: PaceForm; set: (changes: Partial<PaceForm>) => void; wrong: Fault | undefined }): JSX.Element {
  const { form, set, wrong } = props;
  const modes: [PaceForm["mode"], string][] = [["fast", "As fast as possible"], ["rate", "At a rate"], ["original", "As it came"]];
  const field = (name: "rate" | "bytesRate" | "speed" | "maxWait", label: string, placeholder: string): JSX.Element => (
    <div class="field">
      <label for={`f-${name}`}>{label}</label>
      <input id={`f-${name}`} type="text" inputMode="decimal" value={form[name]} placeholder={placeholder} autocomplete="off" aria-invalid={wrong?.field === name} aria-describedby={`h-${name}`} onInput={(e) => set({ [name]: e.currentTarget.value })} />
      <p id={`h-${name}`} class="wrong">{wrong?.field === name ? wrong.message : ""}</p>
    </div>
  );
  return (
    <fieldset>
      <legend>Pace</legend>
      <span class="segmented" role="radiogroup" aria-label="Pace">
        {modes.map(([mode, words]) => <button key={mode} type="button" role="radio" aria-checked={form.mode === mode} onClick={() => set({ mode })}>{words}</button>)}
      </span>
      {form.mode === "rate" && <div class="pair">{field("rate", "Records a second", "no limit")}{field("bytesRate", "Bytes a second", "no limit")}</div>}
      {form.mode === "original" && <div class="pair">{field("speed", "Times as fast", "1")}{field("maxWait", "No gap longer than (seconds)", "as it was")}</div>}
      {form.mode !== "fast" && <p class="faint">All topics and partitions go by one clock; no partition's order changes.</p>}
    </fieldset>
  );
}
