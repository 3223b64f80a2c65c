// The one place that talks to the API.
import { userName } from "../app/settings";
import { parseExact } from "../lib/exact";
import type {
  Anomalies, ArchivedRecord, Catalog, Coverage, DeadLetterPage, ExportRequest, FieldHistory, Identification, ProblemBody, RecordPage, ReplayJob,
  ReplayList, ReplayPace, ReplayPlan, ReplayRequest, ReplayStop, ScanLine, SealResult, Searched, Status, TopicList, Trace, Verdict, ViolationList,
} from "./types";

const base = "/api/v1";

/** What went wrong, as the server said it (RFC 9457), or why it did not say anything. */
export class Problem extends Error {
  readonly title: string;
  readonly status: number;
  readonly field: string | undefined;
  /** The character of that field at fault, counted from 1. */
  readonly at: number | undefined;
  readonly hint: string | undefined;
  readonly searched: Searched | undefined;

  constructor(body: Partial<ProblemBody>) {
    super(body.detail || body.title || "The server gave no reason");
    this.name = "Problem";
    this.title = body.title || "Something went wrong";
    this.status = body.status ?? 0;
    this.field = body.field;
    this.at = body.at;
    this.hint = body.hint;
    this.searched = body.searched;
  }
}

/** Whatever was thrown, as a Problem. */
export function asProblem(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  return new Problem({ title: "The explorer failed", detail: String(thrown) });
}

async function problemOf(response: Response): Promise<Problem> {
  const type = response.headers.get("content-type") ?? "";
  if (type.includes("json")) {
    try {
      return new Problem({ status: response.status, ...((await response.json()) as Partial<ProblemBody>) });
    } catch {
      // An answer that only looks like JSON is described below.
    }
  }
  return new Problem({
    title: `The server answered ${response.status}`,
    detail: response.statusText || "Without a reason.",
    status: response.status,
  });
}

/** Text as the bytes of its UTF-8, which is all that a header may hold. */
const headerText = (text: string): string => String.fromCharCode(...new TextEncoder().encode(text));

async function request(path: string, init?: RequestInit): Promise<Response> {
  let response: Response;
  try {
    const headers = new Headers(init?.headers ?? { accept: "application/json" });
    if (userName()) headers.set("annals-user", headerText(userName()));
    response = await fetch(base + path, { ...init, headers });
  } catch (thrown) {
    if (thrown instanceof DOMException && thrown.name === "AbortError") throw thrown;
    throw new Problem({
      title: "Annals does not answer",
      detail: "The connection to the server was refused or lost.",
      hint: "Is the process still running? This page tries again by itself where it shows live data.",
    });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** Read a resource as JSON. The path is below /api/v1. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await request(path, signal ? { signal } : undefined);
  return parseExact(await response.text()) as T;
}

async function post<T>(path: string, body?: unknown): Promise<T> {
  const response = await request(path, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return (await response.json()) as T;
}

/** Have the archive itself read; line gets what comes, as it comes. Ends with an end line, or throws. */
export async function scan(q: string, limit: number, line: (l: ScanLine) => void, signal: AbortSignal): Promise<void> {
  const response = await request(`/records/scan${queryString({ q, limit })}`, { headers: { accept: "application/x-ndjson" }, signal });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let ended = false; ;) {
    const { value, done } = await reader.read();
    const parts = (rest + (value ?? "")).split("\n");
    rest = parts.pop()!;
    for (const part of parts) {
      const one = parseExact(part) as ScanLine;
      ended ||= one.end !== undefined;
      line(one);
    }
    if (done && !ended) throw new Problem({ title: "The scan broke off", detail: "What is shown is not all that was asked for." });
    if (done) return;
  }
}

/** A query string from what is set; lists repeat their name. */
export function queryString(fields: Record<string, string | number | boolean | string[] | undefined>): string {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || value === "" || value === false) continue;
    for (const one of Array.isArray(value) ? value : [value]) out.append(name, String(one));
  }
  const text = out.toString();
  return text ? `?${text}` : "";
}

/** A record's address below /records: topic, partition and offset name it. */
export interface Position {
  topic: string;
  partition: number;
  offset: number;
  topic_id?: string | undefined;
  branch?: number | undefined;
}

function recordPath(p: Position, tail = ""): string {
  return `/records/${encodeURIComponent(p.topic)}/${p.partition}/${p.offset}${tail}${queryString({ topic_id: p.topic_id, branch: p.branch })}`;
}

/** Paths of what is read, so that they can be keys of a cache. */
export const paths = {
  status: "/status",
  topics: "/topics",
  replays: "/replays",
  replay: (id: string) => `/replays/${id}`,
  replayStop: "/replays/stop",
  identify: (id: string) => `/identify${queryString({ id })}`,
  anomalies: (at?: string) => `/anomalies${queryString({ at })}`,
  catalog: (type?: string) => `/catalog${queryString({ event_type: type })}`,
  violations: (fields: Record<string, string | number | undefined>) => `/contracts/violations${queryString(fields)}`,
  coverage: (topic?: string) => `/coverage${queryString({ topic })}`,
  deadLetters: (fields: Record<string, string | number>) => `/dead-letters${queryString(fields)}`,
  record: (p: Position) => recordPath(p),
  records: (fields: Record<string, string | number | string[] | undefined>) => `/records${queryString(fields)}`,
  trace: (id: string, options: { diffs?: boolean; facts_only?: boolean; flow?: boolean }) =>
    `/traces/${encodeURIComponent(id)}${queryString(options)}`,
  field: (trace: string, pointer: string) => `/traces/${encodeURIComponent(trace)}/field${queryString({ pointer })}`,
  verdict: (of: Record<string, string | undefined>) => `/verdict${queryString(of)}`,
};

/** Where the browser downloads a value's exact bytes. */
export const valueURL = (p: Position): string => base + recordPath(p, "/value");

/** Where the browser downloads every sealed record that a search finds. */
export const matchesURL = (q: string, format: string): string => `${base}/records/export${queryString({ q, format })}`;

/** Where a job's progress comes as it happens, and where its receipt is a page. */
export const eventsURL = (id: string): string => `${base}/replays/${id}/events`;
export const receiptURL = (id: string): string => `${base}/replays/${id}/receipt`;

/** What each path gives. */
export interface Resources {
  status: Status;
  topics: TopicList;
  replays: ReplayList;
  replay: ReplayJob;
  identify: Identification;
  anomalies: Anomalies;
  catalog: Catalog;
  violations: ViolationList;
  coverage: Coverage;
  deadLetters: DeadLetterPage;
  record: ArchivedRecord;
  records: RecordPage;
  trace: Trace;
  field: FieldHistory;
  verdict: Verdict;
}

export const planReplay = (r: ReplayRequest): Promise<ReplayPlan> => post("/replays/plans", r);
export const runReplay = (plan: string, pace?: ReplayPace): Promise<ReplayJob> => post("/replays", { plan_id: plan, ...(pace ? { pace } : {}) });
export const paceReplay = (id: string, pace: ReplayPace): Promise<ReplayJob> => post(`/replays/${id}/pace`, pace);
export const stepReplay = (id: string): Promise<ReplayJob> => post(`/replays/${id}/step`, { records: 1 });
export const approveReplay = (id: string, comment: string): Promise<ReplayJob> => post(`/replays/${id}/approve`, { comment });
export const rejectReplay = (id: string, comment: string): Promise<ReplayJob> => post(`/replays/${id}/reject`, { comment });
export const stopReplays = (reason: string): Promise<ReplayStop> => post("/replays/stop", { reason });
export const startReplays = (reason: string): Promise<ReplayStop> => post("/replays/start", { reason });
export const pauseReplay = (id: string): Promise<ReplayJob> => post(`/replays/${id}/pause`);
export const resumeReplay = (id: string): Promise<ReplayJob> => post(`/replays/${id}/resume`);
export const cancelReplay = (id: string): Promise<ReplayJob> => post(`/replays/${id}/cancel`);
export const seal = (): Promise<SealResult> => post("/seal?wait=true");

/** A bag as one file in memory: the browser has no other way to save the answer of a POST. */
export async function exportBag(r: ExportRequest): Promise<Blob> {
  const response = await request("/exports", {
    method: "POST",
    headers: { accept: "application/x-tar", "content-type": "application/json" },
    body: JSON.stringify(r),
  });
  return response.blob();
}
