// What contracts say, in words and as searches. Pure.
import type { CatalogType, Violation } from "../api/types";
import { term } from "./query";

/** The search that gives the records of a group of violations. */
export function violationQuery(v: Pick<Violation, "rule" | "topic" | "event_type" | "event_version" | "source_service">): string {
  const parts = [term("violation", v.rule), term("topic", v.topic)];
  if (v.event_type) parts.push(term("type", v.event_type));
  if (v.event_version) parts.push(term("version", v.event_version));
  if (v.source_service) parts.push(term("service", v.source_service));
  return parts.join(" ");
}

/** The versions of a type that no contract is registered for, among those that have records. */
export const unregistered = (t: CatalogType): string[] =>
  t.versions.filter((v) => !v.contract && v.records > 0).map((v) => v.event_version || "none");

/** Who reads a type's topics, as far as that is known: never "none" where nobody could look. */
export function consumersLine(t: CatalogType): string {
  if (!t.consumers_known) return "not known";
  return t.consumers.length === 0 ? "none" : t.consumers.map((c) => c.group).join(", ");
}
