import { describe, expect, it } from "vitest";
import { parseOffsets, parsePartitions } from "../src/lib/offsets";
import { describePace, paceOf, type PaceForm } from "../src/lib/pace";
import { readForm, requestOf } from "../src/pages/replay-new";

describe("the form of a new replay", () => {
  const request = (query: string) => requestOf(readForm(new URLSearchParams(query)));
  it("narrows topics by partitions and offsets", () => {
    expect(request("topics=orders,rates&partitions=2,0&offsets=orders/3:1200-1300")).toMatchObject({
      request: { topics: ["orders", "rates"], partitions: [2, 0], offsets: [{ topic: "orders", partition: 3, from: 1200, to: 1300 }] },
    });
  });
  it("leaves out what is not given", () => {
    const r = request("topics=orders");
    expect("request" in r && Object.keys(r.request).sort()).toEqual(["allow_existing", "allow_source", "oversized", "topics"]);
  });
  it.each([
    ["topics=orders&partitions=a", "partitions"],
    ["topics=orders&offsets=orders/3", "offsets"],
    ["topics=orders&offsets=orders/3:9-9", "offsets"],
    ["topics=orders&offsets=rates/0:1-2", "offsets"],
    ["topics=orders&to=2020&from=2021", "to"],
  ])("refuses %j", (query, field) => expect(request(query)).toMatchObject({ field }));
});

it("reads partitions and offsets as people write them", () => {
  expect(parsePartitions(" 1 2,2 ")).toEqual([1, 2]);
  expect(parsePartitions("-1")).toBeUndefined();
  expect(parseOffsets("a/0:1-2, b.c/1:0-5\n")).toHaveLength(2);
  expect(parseOffsets("a/0:2-1")).toBeUndefined();
});

describe("a pace", () => {
  const none: PaceForm = { mode: "fast", rate: "", bytesRate: "", speed: "", maxWait: "" };
  it.each([
    [{}, { pace: { mode: "fast" } }],
    [{ mode: "rate", rate: "500" }, { pace: { mode: "rate", records_per_second: 500 } }],
    [{ mode: "rate", rate: "5", bytesRate: "1e6" }, { pace: { mode: "rate", records_per_second: 5, bytes_per_second: 1e6 } }],
    [{ mode: "original", speed: "0.5", maxWait: "5" }, { pace: { mode: "original", speed: 0.5, max_wait_seconds: 5 } }],
    [{ mode: "original" }, { pace: { mode: "original" } }],
    [{ mode: "rate" }, { field: "rate" }],
    [{ mode: "rate", rate: "0" }, { field: "rate" }],
    [{ mode: "original", speed: "fast" }, { field: "speed" }],
  ] as [Partial<PaceForm>, object][])("%j", (form, want) => expect(paceOf({ ...none, ...form })).toMatchObject(want));
  it("is said in words", () => expect(describePace({ mode: "original", speed: 60 })).toBe("by one clock, at the original pace × 60"));
});
