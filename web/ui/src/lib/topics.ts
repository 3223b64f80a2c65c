// The order in which topics are shown.
import type { TopicSummary } from "../api/types";

/** Whether a topic is a program's own, as its name says by convention. */
export const isInternal = (topic: string): boolean => topic.startsWith("__");

/** Topics as they came, by name, but those of programs at the end: nobody came for them. */
export function ordered<T extends Pick<TopicSummary, "topic">>(topics: T[]): T[] {
  return [...topics.filter((t) => !isInternal(t.topic)), ...topics.filter((t) => isInternal(t.topic))];
}
