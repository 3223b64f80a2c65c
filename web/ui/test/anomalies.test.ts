import { describe, expect, it } from "vitest";
import type { Anomaly, AnomalyCheck } from "../src/api/types";
import { figures, findingQuery, outcome } from "../src/lib/anomalies";

const check = (state: AnomalyCheck["state"]): AnomalyCheck => ({ kind: "lag", state, judged: 1, indeterminate: 0 });

describe("what the checks say together", () => {
  it("is well only if every check could look", () => {
    expect(outcome([check("ok"), check("ok")], 0).state).toBe("well");
    expect(outcome([check("ok"), check("indeterminate")], 0)).toEqual({ state: "unsure", title: "Nothing was found, and 1 check of 2 had too little to go by" });
  });
  it("is what was found, whatever could not look", () => {
    expect(outcome([check("anomalies"), check("indeterminate")], 2)).toEqual({ state: "found", title: "2 findings" });
  });
});

describe("a finding", () => {
  it.each([
    ["throughput_drop", 12, 1860, "12 records, 1,860 expected"],
    ["dead_letter_rise", 40, 0, "40 dead letters, 0 usual"],
    ["schema_mismatch", 412, 18.6, "412 records, up to 18.6 tolerated"],
    ["lag", 1, 0, "1 record waiting"],
    ["unexplained_gap", 4, 0, "4 offsets"],
  ] as const)("of %s has figures", (kind, value, expected, want) => expect(figures({ kind, value, expected })).toBe(want));
  it("leads to the records of its hour, type and topic", () => {
    const a = { topic: "fx.a b", event_type: "Fx*", from: "2026-03-13T14:00:00Z", to: "2026-03-13T15:00:00Z" } as Anomaly;
    expect(findingQuery(a)).toBe('topic:"fx.a b" type:"Fx*" after:2026-03-13T14:00:00Z before:2026-03-13T15:00:00Z');
    expect(findingQuery({ ...a, event_type: undefined } as unknown as Anomaly)).not.toContain("type:");
  });
});
