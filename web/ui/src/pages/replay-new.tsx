// A new replay: the form, then the plan, then the run. The form is the
// address, so that a plan can be sent to a colleague.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { asProblem, paths, planReplay, type Problem, runReplay } from "../api/client";
import type { ReplayPlan, ReplayRequest, TopicList } from "../api/types";
import { useKeys } from "../app/keys";
import { useResource } from "../app/resource";
import { go, pages, setParams, useLocation } from "../app/router";
import { useSettings } from "../app/settings";
import { count, zoneName } from "../lib/format";
import { parseOffsets, parsePartitions } from "../lib/offsets";
import { type PaceForm, paceOf } from "../lib/pace";
import { parseTime } from "../lib/query";
import { PaceFields } from "../ui/pace";
import { ProblemBox, Skeleton } from "../ui/states";
import { YourName } from "./replay-control";
import { PlanView } from "./replays";

interface Form {
  by: "trace" | "topics";
  trace: string;
  topics: string[];
  from: string;
  to: string;
  filter: string;
  partitions: string;
  offsets: string;
  pace: PaceForm;
  prefix: string;
  existing: boolean;
  source: boolean;
  provenance: string;
}

/** The form from the address. */
export function readForm(p: URLSearchParams): Form {
  const topics = (p.get("topics") ?? "").split(",").filter(Boolean);
  const mode = p.get("mode");
  return {
    partitions: p.get("partitions") ?? "", offsets: p.get("offsets") ?? "",
    pace: { mode: mode === "rate" || mode === "original" ? mode : "fast", rate: p.get("rate") ?? "", bytesRate: p.get("bytesRate") ?? "", speed: p.get("speed") ?? "", maxWait: p.get("maxWait") ?? "" },
    by: p.get("by") === "topics" || (!p.has("by") && topics.length > 0) ? "topics" : "trace",
    trace: p.get("trace") ?? "", topics, from: p.get("from") ?? "", to: p.get("to") ?? "", filter: p.get("filter") ?? "", prefix: p.get("prefix") ?? "",
    existing: p.get("existing") === "1", source: p.get("source") === "1", provenance: p.get("provenance") ?? "",
  };
}

/** The API's request from the form, or what is wrong with which field. */
export function requestOf(f: Form): { request: ReplayRequest } | { field: string; message: string } {
  const request: ReplayRequest = { allow_existing: f.existing, allow_source: f.source, oversized: "fail" };
  if (f.provenance) request.provenance_headers = f.provenance === "1";
  if (f.prefix) request.target_prefix = f.prefix;
  if (f.filter.trim()) request.filter = f.filter.trim();
  if (f.by === "trace") {
    if (!f.trace.trim()) return { field: "trace", message: "Enter the trace's id." };
    return { request: { ...request, trace_id: f.trace.trim() } };
  }
  if (f.topics.length === 0) return { field: "topics", message: "Choose at least one topic." };
  request.topics = f.topics;
  for (const name of ["from", "to"] as const) {
    if (!f[name]) continue;
    const time = parseTime(f[name]);
    if (!time) return { field: name, message: "Write a date (2008-10-24), a time (2008-10-24T14:15Z) or an age (2h)." };
    request[name] = time;
  }
  if (f.partitions.trim()) {
    const partitions = parsePartitions(f.partitions);
    if (!partitions) return { field: "partitions", message: "Write numbers, such as 0, 2." };
    request.partitions = partitions;
  }
  if (f.offsets.trim()) {
    const offsets = parseOffsets(f.offsets);
    if (!offsets) return { field: "offsets", message: "Write TOPIC/PARTITION:FROM-TO, such as orders/3:1200-1300; the end is exclusive." };
    const stranger = offsets.find((o) => !f.topics.includes(o.topic));
    if (stranger) return { field: "offsets", message: `${stranger.topic} is not among the topics that are chosen.` };
    request.offsets = offsets;
  }
  if (request.from && request.to && request.from >= request.to) return { field: "to", message: "The end is not after the start." };
  return { request };
}

export function NewReplayPage(): JSX.Element {
  const { params } = useLocation();
  const form = readForm(params);
  const [plan, setPlan] = useState<ReplayPlan>();
  const [problem, setProblem] = useState<Problem>();
  const [wrong, setWrong] = useState<{ field: string; message: string }>();
  const [busy, setBusy] = useState<"" | "planning" | "starting">("");
  useEffect(() => { document.title = "New replay · Annals"; }, []);
  useKeys({ Escape: () => (plan ? setPlan(undefined) : go(pages.replays())) });
  const set = (changes: Record<string, string | undefined>): void => {
    setPlan(undefined);
    setProblem(undefined);
    setWrong(undefined);
    setParams(changes);
  };
  const makePlan = async (event: Event): Promise<void> => {
    event.preventDefault();
    const r = requestOf(form);
    if ("field" in r) {
      setWrong(r);
      document.getElementById(`f-${r.field}`)?.focus();
      return;
    }
    setBusy("planning");
    setProblem(undefined);
    try {
      setPlan(await planReplay(r.request));
    } catch (thrown) {
      setProblem(asProblem(thrown));
    }
    setBusy("");
  };
  const run = async (): Promise<void> => {
    if (!plan) return;
    const paced = paceOf(form.pace);
    if ("field" in paced) {
      setWrong(paced);
      document.getElementById(`f-${paced.field}`)?.focus();
      return;
    }
    setBusy("starting");
    try {
      go(pages.replay((await runReplay(plan.id, paced.pace)).id));
    } catch (thrown) {
      setProblem(asProblem(thrown));
      setBusy("");
    }
  };
  return (
    <div class="page narrow">
      <nav class="crumbs" aria-label="Where this is"><a href="/replays">Replays</a><span aria-hidden="true">/</span><span>New</span></nav>
      <div class="bar"><h1>New replay</h1><span class="count">nothing is written before you have seen the plan</span></div>
      <form class="form card" onSubmit={makePlan} noValidate>
        <fieldset>
          <legend>What</legend>
          <span class="segmented" role="radiogroup" aria-label="What to replay">
            <button type="button" role="radio" aria-checked={form.by === "trace"} onClick={() => set({ by: "trace" })}>A trace</button>
            <button type="button" role="radio" aria-checked={form.by === "topics"} onClick={() => set({ by: "topics" })}>Topics and a time range</button>
          </span>
        </fieldset>
        {form.by === "trace"
          ? <Field id="trace" label="Trace id" value={form.trace} set={set} wrong={wrong} mono placeholder="4bf92f3577b34da6a3ce929d0e0e4736" />
          : <TopicChoice form={form} set={set} wrong={wrong} />}
        <Field id="filter" label="Only records for which this holds" value={form.filter} set={set} wrong={wrong} mono placeholder='value.amount > 1000.0 && headers["region"] == "EU"' hint="In CEL, over topic, partition, offset, timestamp, key, headers, value (the decoded payload), eventType, service and traceId. Empty: all of them." />
        <details class="more" open={!!(form.prefix || form.existing || form.source || form.provenance)}>
          <summary>Targets</summary>
          <Field id="prefix" label="Target topics" value={form.prefix} set={set} wrong={wrong} mono placeholder="replay.<first 8 digits of the plan>." hint="This text before the name of each source topic." />
          <Check id="existing" label="Produce into topics that exist already" on={form.existing} set={set} />
          <Check id="source" label="Produce into the source topic itself" hint="Consumers of that topic see the records again." on={form.source} set={set} />
          <label class="check"><select value={form.provenance} onChange={(e) => set({ provenance: e.currentTarget.value || undefined })}><option value="">Outside the sandbox</option><option value="1">Always</option><option value="0">Never</option></select><span>add headers that name the original record<small>Without them the records are byte-identical.</small></span></label>
        </details>
        <div class="actions"><button type="submit" class={plan ? "button" : "button primary"} disabled={busy !== ""}>{busy === "planning" ? "Planning…" : plan ? "Plan again" : "Plan"}</button></div>
      </form>
      {problem && <ProblemBox problem={problem} />}
      {plan && (
        <section class="card" aria-label="The plan">
          <h2>The plan</h2>
          <PlanView plan={plan} />
          {plan.needs_approval && <YourName />}
          <div class="form"><PaceFields form={form.pace} set={(changes) => { setWrong(undefined); setParams(changes); }} wrong={wrong} /></div>
          <div class="actions">
            <span class="faint">Running a plan twice is the same job: nothing is delivered twice.</span>
            <span class="spacer" />
            <button type="button" class="button primary" disabled={busy !== ""} onClick={run}>{busy === "starting" ? "Starting…" : `Run: produce ${count(plan.records)} records`}</button>
          </div>
        </section>
      )}
    </div>
  );
}

type Set = (changes: Record<string, string | undefined>) => void;
type Wrong = { field: string; message: string } | undefined;

function Field(props: { id: string; label: string; value: string; set: Set; wrong: Wrong; mono?: boolean; placeholder?: string; hint?: string }): JSX.Element {
  const wrong = props.wrong?.field === props.id ? props.wrong.message : undefined;
  return (
    <div class="field">
      <label for={`f-${props.id}`}>{props.label}</label>
      <input id={`f-${props.id}`} class={props.mono ? "mono" : undefined} type="text" value={props.value} placeholder={props.placeholder} spellcheck={false} autocomplete="off"
        aria-invalid={!!wrong} aria-describedby={`h-${props.id}`} onInput={(e) => props.set({ [props.id]: e.currentTarget.value })} />
      <p id={`h-${props.id}`} class={wrong ? "wrong" : "faint"}>{wrong ?? props.hint}</p>
    </div>
  );
}

function Check(props: { id: string; label: string; on: boolean; set: Set; hint?: string }): JSX.Element {
  return (
    <label class="check">
      <input type="checkbox" checked={props.on} onChange={(e) => props.set({ [props.id]: e.currentTarget.checked ? "1" : undefined })} />
      <span>{props.label}{props.hint && <small>{props.hint}</small>}</span>
    </label>
  );
}

function TopicChoice(props: { form: Form; set: Set; wrong: Wrong }): JSX.Element {
  const { form, set, wrong } = props;
  const { zone } = useSettings();
  const topics = useResource<TopicList>(paths.topics);
  const toggle = (name: string): void => {
    const next = form.topics.includes(name) ? form.topics.filter((t) => t !== name) : [...form.topics, name];
    set({ by: "topics", topics: next.join(",") });
  };
  return (
    <>
      <fieldset class="field" id="f-topics" tabIndex={-1}>
        <legend>Topics</legend>
        {!topics.data && !topics.problem && <Skeleton rows={3} label="Reading the topics" />}
        {topics.problem && <ProblemBox problem={topics.problem} retry={topics.reload} compact />}
        <div class="choices">
          {topics.data?.topics.filter((t) => t.archived || form.topics.includes(t.topic)).map((t) => (
            <label key={t.topic} class="check"><input type="checkbox" checked={form.topics.includes(t.topic)} onChange={() => toggle(t.topic)} /><span class="topic">{t.topic}<small>{count(t.sealed_records)} sealed</small></span></label>
          ))}
        </div>
        {wrong?.field === "topics" && <p class="wrong">{wrong.message}</p>}
      </fieldset>
      <div class="pair">
        <Field id="from" label="From (record time, inclusive)" value={form.from} set={set} wrong={wrong} placeholder="the beginning" hint={zone === "utc" ? "UTC, such as 2008-10-24 or 2008-10-24T14:15Z" : `Dates without an offset are UTC, not ${zoneName(zone)}`} />
        <Field id="to" label="To (exclusive)" value={form.to} set={set} wrong={wrong} placeholder="now" hint="2008-10-25, or an age such as 2h" />
      </div>
      <details class="more" open={!!(form.partitions || form.offsets)}>
        <summary>Narrow it</summary>
        <Field id="partitions" label="Partitions" value={form.partitions} set={set} wrong={wrong} placeholder="all" hint="Of every topic, such as 0, 2." />
        <Field id="offsets" label="Offsets" value={form.offsets} set={set} wrong={wrong} mono placeholder="orders/3:1200-1300" hint="TOPIC/PARTITION:FROM-TO, the end exclusive, separated by commas. Of a topic named here nothing else is taken." />
      </details>
    </>
  );
}
