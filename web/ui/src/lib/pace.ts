// How fast a replay produces, as a form and in words.
import type { ReplayPace } from "../api/types";

/** The fields of the form, as typed. */
export interface PaceForm {
  mode: ReplayPace["mode"];
  rate: string;
  bytesRate: string;
  speed: string;
  maxWait: string;
}

/** What is wrong with which field. */
export interface Fault {
  field: string;
  message: string;
}

function positive(text: string): number | undefined {
  const n = Number(text.trim());
  return Number.isFinite(n) && n > 0 ? n : undefined;
}

/** The API's pace from the form. */
export function paceOf(f: PaceForm): { pace: ReplayPace } | Fault {
  const pace: ReplayPace = { mode: f.mode };
  const read = (field: keyof PaceForm, into: "records_per_second" | "bytes_per_second" | "speed" | "max_wait_seconds"): Fault | undefined => {
    if (!f[field].trim()) return undefined;
    const n = positive(f[field]);
    if (n === undefined) return { field, message: "Write a number above zero." };
    pace[into] = n;
    return undefined;
  };
  if (f.mode === "rate") {
    const wrong = read("rate", "records_per_second") ?? read("bytesRate", "bytes_per_second");
    if (wrong) return wrong;
    if (pace.records_per_second === undefined && pace.bytes_per_second === undefined) return { field: "rate", message: "Write how many records, or bytes, a second." };
  }
  if (f.mode === "original") {
    const wrong = read("speed", "speed") ?? read("maxWait", "max_wait_seconds");
    if (wrong) return wrong;
  }
  return { pace };
}

/** A pace in words. */
export function describePace(p: ReplayPace): string {
  if (p.mode === "rate") {
    const rates = [p.records_per_second && `${p.records_per_second} records/s`, p.bytes_per_second && `${p.bytes_per_second} bytes/s`].filter(Boolean);
    return `by one clock, ${rates.join(", ")}`;
  }
  if (p.mode === "original") return `by one clock, at the original pace × ${p.speed ?? 1}${p.max_wait_seconds ? `, no gap longer than ${p.max_wait_seconds} s` : ""}`;
  return "as fast as possible";
}
