import { describe, expect, it } from "vitest";
import type { FieldStep, Hop, Verdict } from "../src/api/types";
import { stepsLine, stepsOn } from "../src/lib/field";
import type { Links } from "../src/lib/groups";
import { lacking, verdictLines } from "../src/lib/verdict";

describe("a verdict in words", () => {
  const v = { reasons: ["truncated", "ghosts", "gaps", "unsealed", "behind", "unknown"], ghosts: 1, unsealed: 3, unsealed_hops: 5, behind: 1200, gaps: [{ class: "before_log_start", ranges: 1, offsets: 40 }, { class: "purged", ranges: 1, offsets: 1 }] } as unknown as Verdict;
  it("has a line for each reason", () => {
    expect(verdictLines(v)).toEqual([
      "more hops than were looked at", "1 parent named and not archived, or not to be seen", "missing: 40 offsets before log start, 1 offset purged",
      "5 records not sealed yet", "1,200 records in Kafka that were not read yet", "not everything could be asked",
    ]);
    expect(verdictLines({ ...v, reasons: [] })).toEqual([]);
  });
  it("shows the partitions that lack something, and those of which nobody knows", () => {
    const p = (partition: number, more: object) => ({ topic: "a", partition, gaps: [], unsealed: 0, behind: 0, ...more });
    const partitions = [p(0, {}), p(1, { gaps: [{}] }), p(2, { unsealed: 1 }), p(3, { behind: 1 }), p(4, { unsealed: undefined }), p(5, { behind: undefined })];
    expect(lacking({ ...v, partitions } as unknown as Verdict).map((x) => x.partition)).toEqual([1, 2, 3, 4, 5]);
  });
});

describe("one field", () => {
  const hit = (offset: number) => ({ coordinates: { topic: "t", partition: 0, offset } });
  // 0 → 2 → 4 and 1 → 3; a long chain behind 4.
  const long = Array.from({ length: 30 }, (_, i) => i + 4);
  const hops = Array.from({ length: 35 }, (_, i) => hit(i)) as unknown as Hop[];
  const parent = hops.map((_, i) => (i < 2 ? -1 : i < 5 ? i - 2 : i - 1));
  const links = { parent, children: hops.map((_, i) => hops.flatMap((_, c) => (parent[c] === i ? [c] : []))), into: [] } as Links;
  const step = (offset: number, change: FieldStep["change"] = "kept") => ({ hop: -1, change, record: hit(offset) }) as unknown as FieldStep;
  it("is followed along the path of a hop, by position and in whatever order it comes", () => {
    const steps = [step(4), step(3), step(2), step(1), step(0)];
    expect(stepsOn(steps, hops, links, 2).map((s) => s.record.coordinates.offset)).toEqual([4, 2, 0]);
    expect(stepsOn(steps, hops, links, 3).map((s) => s.record.coordinates.offset)).toEqual([3, 1]);
  });
  it("is followed to the end, however long the path", () => {
    expect(stepsOn(long.map((i) => step(i)), hops, links, 0)).toHaveLength(30);
  });
  it("says how many hops changed it, and that some were not read", () => {
    expect(stepsLine([step(0, "first"), step(1, "added"), step(2, "changed"), step(3, "kept"), step(4, "removed"), step(5, "absent")])).toBe("3 of 6 hops changed it");
    expect(stepsLine([step(0, "first"), step(1, "unread")])).toBe("0 of 2 hops changed it, 1 hop could not be read");
  });
});
