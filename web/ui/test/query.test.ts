import { describe, expect, it } from "vitest";
import { aroundFault, complete, parseQuery, parseTime, readsBytes } from "../src/lib/query";

const origin = "http://127.0.0.1:8080";
const now = Date.parse("2026-04-13T12:00:00Z");
const read = (text: string) => parseQuery(text, origin);

describe("the search box", () => {
  it.each([
    ["", { kind: "recent" }],
    ["  4bf92f3577b34da6a3ce929d0e0e4736\n", { kind: "id", id: "4bf92f3577b34da6a3ce929d0e0e4736" }],
    ["urn:uuid:1", { kind: "id", id: "urn:uuid:1" }],
    ['"topic:a"', { kind: "id", id: "topic:a" }],
    ["00:1b:44", { kind: "id", id: "00:1b:44" }],
    ["a/b", { kind: "id", id: "a/b" }],
    ["fx.rates.received/2/41204", { kind: "position", topic: "fx.rates.received", partition: 2, offset: 41204 }],
    ["payload/2/41204", { kind: "position", topic: "payload", partition: 2, offset: 41204 }],
    [`${origin}/trace/x?view=graph`, { kind: "address", to: "/trace/x?view=graph" }],
    ["https://example.com/trace/x", { kind: "id", id: "https://example.com/trace/x" }],
    ["typ:b", { kind: "terms" }],
    ["abc service:risk-engine", { kind: "terms" }],
    ["header.tenant=emea", { kind: "terms" }],
    ["payload/order/id=A", { kind: "terms" }],
    ['type:"Fx Rate', { kind: "terms" }],
  ])("understands %j", (text, want) => expect(read(text)).toEqual(want));
});

it.each([
  ["key:a", true], ["topic:a header.x=1", true], ["PAYLOAD:a", true], ['payload:"a b"', true], ["payload/a=1", true],
  ["payload/0/17", false], ['type:"a key:b"', false], ["type:monkey:a", false], ["", false],
])("knows whether %j reads the archive", (text, want) => expect(readsBytes(text as string)).toBe(want));

describe("completion", () => {
  const topics = ["fx.rates.received", "fx.risk.alerts", "orders"];
  const offered = (text: string, caret = text.length) => complete(text, caret, topics).list.map((c) => c.insert);
  it.each([
    ["t", ["topic:", "type:", "team:"]],
    ["type:a s", ["service:", "stage:", "status:"]],
    ["TYP", ["type:"]],
    ["pay", ["payload:", "payload/"]],
    ["stage:e", ["enrichment"]],
    ["topic:fx", ["fx.rates.received", "fx.risk.alerts"]],
    ["topic:orders,fx.ri", ["fx.risk.alerts"]],
    ["topic:orders", []],
    ["type:Fx", []],
    ["", []],
    ["4bf9", []],
    ['type:"a t', []],
  ])("of %j", (text, want) => expect(offered(text)).toEqual(want));
  it("replaces the word at the caret only", () => {
    expect(complete("ty after:7d", 2, topics)).toMatchObject({ from: 0, list: [{ insert: "type:" }] });
    expect(complete("topic:orders,fx.ri", 18, topics).from).toBe(13);
  });
});

describe("a mark under the character at fault", () => {
  it.each([
    ["type:a typ:b", 8, { before: "type:a ", mark: "t", after: "yp:b" }],
    ["é type:", 8, { before: "é type:", mark: " ", after: "" }],
    ["😀 x:", 3, { before: "😀 ", mark: "x", after: ":" }],
  ])("of %j", (text, at, want) => expect(aroundFault(text, at)).toEqual(want));
  it("shows a part of a long text", () => {
    const { before, mark, after } = aroundFault("a".repeat(5000), 2500, 10);
    expect([before.length, mark, after.length]).toEqual([11, "a", 11]);
  });
});

describe("times", () => {
  it.each([
    ["2008", "2008-01-01T00:00:00.000Z"], ["2008-10", "2008-10-01T00:00:00.000Z"], ["2008-10-24", "2008-10-24T00:00:00.000Z"],
    ["2008-10-24T14:15", "2008-10-24T14:15:00.000Z"], ["2008-10-24T14:15:00.250+02:00", "2008-10-24T12:15:00.250Z"],
    ["7d", "2026-04-06T12:00:00.000Z"], ["now", "2026-04-13T12:00:00.000Z"],
  ])("%s is %s", (text, want) => expect(parseTime(text, now)).toBe(want));
  it.each(["", "24.10.2008", "2008-13-01", "2008-10-24T25:00", "99999999y"])("%j is none", (text) => expect(parseTime(text, now)).toBeUndefined());
});
