import { describe, expect, it } from "vitest";
import { parseExact, ExactNumber } from "../src/lib/exact";
import { bytes, duration, fromBase64, hexLines, instant, plural } from "../src/lib/format";
import { ordered } from "../src/lib/topics";
import { match } from "../src/app/router";
import { pointer, summary } from "../src/ui/diff";

it.each([[0, "0 B"], [1023, "1023 B"], [1024, "1.00 KiB"], [1048575, "1.00 MiB"], [323000000, "308 MiB"]])("%d bytes are %s", (n, want) => expect(bytes(n)).toBe(want));
it.each([[0, "0 ms"], [999, "999 ms"], [2404, "2.40 s"], [61_000, "1 min 1 s"], [3_600_000, "1 h"], [-50, "−50 ms"], [86_400_000 * 365.25 * 27, "27 y"]])("%d ms are %s", (n, want) => expect(duration(n)).toBe(want));
it("counts", () => expect([plural(1, "record"), plural(217555, "record")]).toEqual(["1 record", "217,555 records"]));
it("writes UTC", () => expect(instant("2026-03-13T14:15:00.05Z", "utc")).toBe("2026-03-13 14:15:00.050"));
it("shows bytes", () => {
  const { lines, cut } = hexLines(fromBase64("AAEC/0FCQw=="), 5);
  expect(lines).toEqual([`000000  ${"00 01 02 ff 41".padEnd(23)}  ${"".padEnd(23)}  ····A`]);
  expect(cut).toBe(2);
});

describe("addresses", () => {
  it("decodes parts", () => expect(match("/record/:topic/:partition/:offset", "/record/a%2Fb.c/0/12")).toEqual({ topic: "a/b.c", partition: "0", offset: "12" }));
  it("refuses others", () => {
    expect(match("/trace/:id", "/trace/")).toBeUndefined();
    expect(match("/trace/:id", "/trace/%")).toBeUndefined();
    expect(match("/trace/:id", "/trace/a/b")).toBeUndefined();
  });
});

// Node learns a number's source text only in 22: there the numbers stay plain.
const told = (JSON.parse as (t: string, r: (k: string, v: unknown, c?: { source?: string }) => unknown) => unknown)("1", (_k, _v, c) => c?.source) === "1";
it.skipIf(!told)(`keeps numbers as they were sent${told ? "" : ": needs Node 22 or later"}`, () => {
  const v = parseExact('{"a":12345678901234567890,"b":1.10,"c":7}') as Record<string, unknown>;
  expect((v.a as ExactNumber).source).toBe("12345678901234567890");
  expect((v.b as ExactNumber).source).toBe("1.10");
  expect(v.c).toBe(7);
  expect(Number(v.b) * 2).toBeCloseTo(2.2);
});

it("says what a step did", () => {
  const change = (op: "add" | "remove" | "change", envelope = false) => ({ op, path: "/x", envelope });
  expect(summary({ parent: 0, comparable: true, truncated: false, changes: [change("add"), change("add"), change("change"), change("change", true)] })).toBe("1 changed, 2 added");
  expect(summary({ parent: 0, comparable: true, truncated: false, changes: [change("change", true)] })).toBe("nothing changed");
  expect(summary({ parent: 0, comparable: false, truncated: false, changes: [] })).toBe("not comparable");
});
it("writes paths for people", () => expect([pointer("/a/b~1c/0"), pointer("")]).toEqual(["a.b/c.0", "(the whole value)"]));
it("shows topics of programs last", () => expect(ordered(["__annals_replay_positions", "fx.rates", "orders", "__schemas", "_own"].map((topic) => ({ topic }))).map((t) => t.topic)).toEqual(["fx.rates", "orders", "_own", "__annals_replay_positions", "__schemas"]));
