import { describe, expect, it } from "vitest";
import { parseQuery, parseTime, words } from "../src/lib/query";

const origin = "http://127.0.0.1:8080";
const now = Date.parse("2026-04-13T12:00:00Z");
const read = (text: string) => parseQuery(text, origin, now);

describe("the search box", () => {
  it.each([
    ["", { kind: "recent" }],
    ["  4bf92f3577b34da6a3ce929d0e0e4736\n", { kind: "id", id: "4bf92f3577b34da6a3ce929d0e0e4736" }],
    ["urn:uuid:1", { kind: "id", id: "urn:uuid:1" }],
    ["a/b", { kind: "id", id: "a/b" }],
    ["fx.rates.received/2/41204", { kind: "position", topic: "fx.rates.received", partition: 2, offset: 41204 }],
    [`${origin}/trace/x?view=graph`, { kind: "address", to: "/trace/x?view=graph" }],
    ["topic:a,b topic:c stage:Enrichment", { kind: "filters", filters: { topic: ["a", "b", "c"], stage: "enrichment" } }],
    ["abc service:risk-engine", { kind: "filters", filters: { id: "abc", service: "risk-engine" } }],
    ['type:"Fx Rate" after:2h', { kind: "filters", filters: { event_type: "Fx Rate", from: "2026-04-13T10:00:00.000Z" } }],
  ])("understands %j", (text, want) => expect(read(text)).toEqual(want));

  it.each([
    ["topik:a b", /Did you mean topic:/],
    ["one two", /one id, and here are 2/],
    ["stage:cooking", /is one of unknown, ingestion/],
    ["after:yesterday", /takes a date/],
    ["after:2008-02-31", /takes a date/],
    ["topic:", /such as topic:fx/],
    ["id:a b", /Two ids/],
    ["after:2010 before:2009", /nothing can lie between/],
  ])("says what is wrong with %j", (text, message) => {
    const q = read(text);
    expect(q.kind).toBe("error");
    expect((q as { message: string }).message).toMatch(message);
  });

  it("leaves other hosts' addresses to the look-up", () => {
    expect(read("https://example.com/trace/x").kind).toBe("id");
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

it("holds quoted words together", () => expect(words('a "b c" type:"d e"')).toEqual(["a", "b c", "type:d e"]));
