// Partitions and ranges of offsets as people write them.
import type { ReplayRequest } from "../api/types";

type Ranges = NonNullable<ReplayRequest["offsets"]>;

/** "0, 2" → [0, 2]; undefined if it is no list of partitions. */
export function parsePartitions(text: string): number[] | undefined {
  const parts = text.split(/[\s,]+/).filter(Boolean);
  return parts.every((p) => /^\d{1,9}$/.test(p)) ? [...new Set(parts.map(Number))] : undefined;
}

/** "orders/3:1200-1300", one a line or separated by commas; undefined if one is none. The end is exclusive. */
export function parseOffsets(text: string): Ranges | undefined {
  const out: Ranges = [];
  for (const part of text.split(/[\s,]+/).filter(Boolean)) {
    const m = /^([A-Za-z0-9._-]{1,249})\/(\d{1,9}):(\d{1,15})-(\d{1,15})$/.exec(part);
    if (!m || Number(m[3]) >= Number(m[4])) return undefined;
    out.push({ topic: m[1]!, partition: Number(m[2]), from: Number(m[3]), to: Number(m[4]) });
  }
  return out;
}
