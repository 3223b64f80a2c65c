// Findings and checks in words, and as searches. Pure.
import type { Anomaly, AnomalyCheck } from "../api/types";
import { count, plural } from "./format";
import { term } from "./query";

/** How kinds are written for people. */
export const kinds: Record<Anomaly["kind"], string> = {
  throughput_drop: "Throughput drop",
  dead_letter_rise: "Dead letter rise",
  schema_mismatch: "Schema mismatch",
  lag: "Lag",
  unexplained_gap: "Unexplained gap",
};

/** What a finding's value counts, and what it is held against: "12, of 500 expected". */
export function figures(a: Pick<Anomaly, "kind" | "value" | "expected">): string {
  const [value, expected] = [count(a.value), count(Math.round(a.expected * 10) / 10)];
  switch (a.kind) {
    case "throughput_drop": return `${value} records, ${expected} expected`;
    case "dead_letter_rise": return `${value} dead letters, ${expected} usual`;
    case "schema_mismatch": return `${value} records, up to ${expected} tolerated`;
    case "lag": return `${plural(a.value, "record")} waiting`;
    case "unexplained_gap": return plural(a.value, "offset");
  }
}

/** What the checks say together. No finding is good news only if every check could look. */
export function outcome(checks: AnomalyCheck[], found: number): { state: "found" | "unsure" | "well"; title: string } {
  const unsure = checks.filter((c) => c.state === "indeterminate").length;
  if (found > 0) return { state: "found", title: plural(found, "finding") };
  if (unsure > 0) return { state: "unsure", title: `Nothing was found, and ${plural(unsure, "check")} of ${checks.length} had too little to go by` };
  return { state: "well", title: "Nothing differs from how it was" };
}

/** The search for the records of a finding's topic and time. */
export function findingQuery(a: Anomaly): string {
  const type = a.event_type ? `${term("type", a.event_type)} ` : "";
  return `${term("topic", a.topic)} ${type}after:${a.from} before:${a.to}`;
}
