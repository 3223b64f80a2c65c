// Whether everything is there, in words. Pure.
import type { Verdict } from "../api/types";
import { plural } from "./format";

/** Offsets by class: "40 offsets before log start, 2 offsets unexplained". */
export const gapWords = (gaps: Verdict["gaps"]): string => gaps.map((g) => `${plural(g.offsets, "offset")} ${g.class.replaceAll("_", " ")}`).join(", ");

/** A line for each reason against it; what has no figure says so. */
export function verdictLines(v: Verdict): string[] {
  return v.reasons.map((reason) => {
    switch (reason) {
      case "gaps": return `missing: ${gapWords(v.gaps)}`;
      case "ghosts": return `${plural(v.ghosts ?? 0, "parent")} named and not archived, or not to be seen`;
      case "unsealed": return `${plural(Math.max(v.unsealed, v.unsealed_hops ?? 0), "record")} not sealed yet`;
      case "behind": return `${plural(v.behind, "record")} in Kafka that were not read yet`;
      case "truncated": return "more hops than were looked at";
      case "unknown": return "not everything could be asked";
    }
  });
}

/** The partitions that something is missing of, or of which it is not known. */
export const lacking = (v: Verdict): Verdict["partitions"] => v.partitions.filter((p) => p.gaps.length > 0 || p.unsealed !== 0 || p.behind !== 0);
