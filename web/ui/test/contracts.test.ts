import { describe, expect, it } from "vitest";
import type { CatalogType } from "../src/api/types";
import { consumersLine, unregistered, violationQuery } from "../src/lib/contracts";
import { term } from "../src/lib/query";

describe("a term for the search box", () => {
  it.each([
    ["fx.rates.received", "type:fx.rates.received"],
    ["Änderung_2-b", "type:Änderung_2-b"],
    ["Fx Rate", 'type:"Fx Rate"'],
    ["Fx*", 'type:"Fx*"'],
    ["a,b", 'type:"a,b"'],
    ["urn:x", 'type:"urn:x"'],
    ['a"b\\c', 'type:"a\\"b\\\\c"'],
    ["", 'type:""'],
  ])("of %j", (value, want) => expect(term("type", value)).toBe(want));
});

describe("the records of a violation", () => {
  const group = { rule: "contract:type:/legs/*/amount", topic: "fx.orders", event_type: "Order", event_version: "2", source_service: "desk" };
  it("are those of the whole group, by the rule as it is written", () => {
    expect(violationQuery(group)).toBe('violation:"contract:type:/legs/*/amount" topic:fx.orders type:Order version:2 service:desk');
  });
  it("are asked for without what is not known of them", () => {
    expect(violationQuery({ ...group, event_type: "", event_version: "", source_service: "" })).toBe('violation:"contract:type:/legs/*/amount" topic:fx.orders');
  });
});

describe("an event type", () => {
  const type = { versions: [{ event_version: "1", records: 4, contract: "a.yaml" }, { event_version: "2", records: 1 }, { event_version: "3", records: 0 }, { event_version: "", records: 9 }], consumers: [], consumers_known: true } as unknown as CatalogType;
  it("has versions with records and no contract", () => expect(unregistered(type)).toEqual(["2", "none"]));
  it("has consumers, none, or unknown ones", () => {
    expect(consumersLine(type)).toBe("none");
    expect(consumersLine({ ...type, consumers_known: false })).toBe("not known");
    expect(consumersLine({ ...type, consumers: [{ group: "a", topics: [] }, { group: "b", topics: [] }] })).toBe("a, b");
  });
});
