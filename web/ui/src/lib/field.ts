// One place in the payloads through a trace. Pure.
import type { FieldStep, Hop } from "../api/types";
import { plural, position } from "./format";
import { type Links, pathOf } from "./groups";

/** How a step's change is written for people. */
export const changeWords: Record<FieldStep["change"], string> = {
  first: "came in with", added: "added", changed: "changed to", kept: "kept", removed: "removed", absent: "not there", unread: "not read",
};

/** The steps of the hops that one hop came from, and of those that came from it. */
export function stepsOn(steps: FieldStep[], hops: Hop[], links: Links, hop: number): FieldStep[] {
  // By position: a flow has other places for its hops than the trace alone.
  const places = new Set([...pathOf(links, hop, Infinity)].map((i) => position(hops[i]!.coordinates)));
  return steps.filter((s) => places.has(position(s.record.coordinates)));
}

/** What became of it: "2 of 4 hops changed it, 1 hop could not be read". */
export function stepsLine(steps: FieldStep[]): string {
  const n = (...changes: FieldStep["change"][]): number => steps.filter((s) => changes.includes(s.change)).length;
  const unread = n("unread");
  return `${n("added", "changed", "removed")} of ${plural(steps.length, "hop")} changed it${unread > 0 ? `, ${plural(unread, "hop")} could not be read` : ""}`;
}
