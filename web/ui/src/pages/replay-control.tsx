// What people decide about replays: an approval, the switch that stops all, a pace.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { approveReplay, asProblem, paceReplay, paths, type Problem, rejectReplay, startReplays, stopReplays } from "../api/client";
import type { ReplayJob, ReplayStop } from "../api/types";
import { useResource } from "../app/resource";
import { change, useSettings } from "../app/settings";
import { type Fault, type PaceForm, paceOf } from "../lib/pace";
import { PaceFields } from "../ui/pace";
import { Fact, Facts, Time } from "../ui/parts";
import { ProblemBox } from "../ui/states";

/** Who the reader says they are. */
export function YourName(): JSX.Element {
  const { name } = useSettings();
  return (
    <div class="field">
      <label for="f-name">Your name</label>
      <input id="f-name" type="text" value={name} maxLength={100} placeholder="nobody" autocomplete="username" spellcheck={false} onInput={(e) => change({ name: e.currentTarget.value })} />
      <p class="faint">It is recorded with what you ask for and decide. Nothing checks it in this version.</p>
    </div>
  );
}

/** Who asked for a job, what others said, and the decision that is due. */
export function Approval(props: { job: ReplayJob; done: () => void }): JSX.Element | null {
  const { job, done } = props;
  const { name } = useSettings();
  const [comment, setComment] = useState("");
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  if (!job.approval) return null;
  const decide = async (what: (id: string, comment: string) => Promise<ReplayJob>): Promise<void> => {
    setBusy(true);
    setProblem(undefined);
    try {
      await what(job.id, comment);
      done();
    } catch (thrown) {
      setProblem(asProblem(thrown));
    }
    setBusy(false);
  };
  const own = name.trim() !== "" && (name.trim() === job.requested_by || name.trim() === job.approval.asked_by);
  return (
    <section class="card" aria-label="Approval">
      <h2>Approval</h2>
      <Facts>
        <Fact name="Asked for by">{job.approval.asked_by || "nobody"}, <Time at={job.approval.asked} millis={false} /></Fact>
        {job.approval.decisions.map((d) => (
          <Fact key={d.at} name={d.verdict === "approved" ? "Approved by" : "Rejected by"}>
            {d.by}, <Time at={d.at} millis={false} />{d.expires && <>; until <Time at={d.expires} millis={false} /></>}{d.comment && <>: {d.comment}</>}
          </Fact>
        ))}
      </Facts>
      {job.state === "awaiting_approval" && (
        <>
          <p>{own ? "You asked for it: somebody else must decide." : "Look at the plan below. Your decision is of exactly this plan, and is recorded."}</p>
          <YourName />
          <div class="field">
            <label for="f-comment">Comment, or the reason of a rejection</label>
            <input id="f-comment" type="text" value={comment} maxLength={500} autocomplete="off" onInput={(e) => setComment(e.currentTarget.value)} />
          </div>
          {problem && <ProblemBox problem={problem} compact />}
          <div class="actions">
            <button type="button" class="button primary" disabled={busy || own || !name.trim()} onClick={() => decide(approveReplay)}>Approve</button>
            <button type="button" class="button danger" disabled={busy || own || !name.trim() || !comment.trim()} onClick={() => decide(rejectReplay)}>Reject</button>
          </div>
        </>
      )}
    </section>
  );
}

/** The switch that stops every replay; loud while it is on. */
export function StopSwitch(): JSX.Element | null {
  const stop = useResource<ReplayStop>(paths.replayStop, { every: 5000 });
  const [asking, ask] = useState(false);
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<Problem>();
  if (!stop.data) return stop.problem ? <ProblemBox problem={stop.problem} retry={stop.reload} compact /> : null;
  const on = stop.data.stopped;
  const last = stop.data.history.at(-1);
  const turn = async (): Promise<void> => {
    setProblem(undefined);
    try {
      await (on ? startReplays(reason) : stopReplays(reason));
      ask(false);
      setReason("");
      stop.reload();
    } catch (thrown) {
      setProblem(asProblem(thrown));
    }
  };
  return (
    <section class={on ? "problem" : "stopswitch"} role={on ? "alert" : undefined} aria-label="Stop all replays">
      {on && last && <><h2>All replays are stopped</h2><p>{last.by}, <Time at={last.at} millis={false} />: {last.reason}</p></>}
      {asking
        ? <>
            <YourName />
            <div class="field">
              <label for="f-reason">Why</label>
              <input id="f-reason" type="text" value={reason} maxLength={500} autocomplete="off" onInput={(e) => setReason(e.currentTarget.value)} />
            </div>
            {problem && <ProblemBox problem={problem} compact />}
            <div class="actions">
              <button type="button" class={on ? "button primary" : "button danger"} disabled={!reason.trim()} onClick={turn}>{on ? "Let replays go on" : "Stop all replays"}</button>
              <button type="button" class="button" onClick={() => ask(false)}>Leave it</button>
            </div>
          </>
        : <button type="button" class="button" onClick={() => ask(true)}>{on ? "Let replays go on…" : "Stop all…"}</button>}
    </section>
  );
}

/** Another pace for a job that has not ended. */
export function ChangePace(props: { job: ReplayJob; done: () => void }): JSX.Element {
  const p = props.job.pace;
  const text = (n: number | undefined): string => (n === undefined ? "" : String(n));
  const [form, setForm] = useState<PaceForm>({ mode: p.mode, rate: text(p.records_per_second), bytesRate: text(p.bytes_per_second), speed: text(p.speed), maxWait: text(p.max_wait_seconds) });
  const [wrong, setWrong] = useState<Fault>();
  const [problem, setProblem] = useState<Problem>();
  const apply = async (event: Event): Promise<void> => {
    event.preventDefault();
    const r = paceOf(form);
    setWrong("field" in r ? r : undefined);
    setProblem(undefined);
    if ("field" in r) return;
    try {
      await paceReplay(props.job.id, r.pace);
      props.done();
    } catch (thrown) {
      setProblem(asProblem(thrown));
    }
  };
  return (
    <form class="form card" onSubmit={apply} noValidate aria-label="Change the pace">
      <PaceFields form={form} set={(changes) => setForm({ ...form, ...changes })} wrong={wrong} />
      {problem && <ProblemBox problem={problem} compact />}
      <div class="actions"><button type="submit" class="button">Change the pace</button></div>
    </form>
  );
}
