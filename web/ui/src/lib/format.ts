// Numbers, sizes, times and ids for people. Everything here is pure.

const grouped = new Intl.NumberFormat("en-US");

/** 217555 → "217,555". */
export const count = (n: number | undefined): string => (n === undefined ? "—" : grouped.format(n));

/** "1 record", "2 records". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Bytes in binary units, three significant digits. */
export function bytes(n: number | undefined): string {
  if (n === undefined) return "—";
  if (n < 1024) return `${n} B`;
  let value = n;
  let unit = "";
  for (unit of ["KiB", "MiB", "GiB", "TiB", "PiB"]) {
    value /= 1024;
    if (value < 1023.95) break;
  }
  return `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)} ${unit}`;
}

/** A rate in records a second. */
export function rate(perSecond: number): string {
  if (perSecond === 0) return "0/s";
  if (perSecond < 10) return `${perSecond.toFixed(1)}/s`;
  return `${count(Math.round(perSecond))}/s`;
}

/** A span of time from milliseconds: "0 ms", "42 ms", "1.25 s", "3 min 20 s", "27 y 3 mo". */
export function duration(ms: number): string {
  const sign = ms < 0 ? "−" : "";
  const n = Math.abs(ms);
  if (n < 1000) return `${sign}${Math.round(n)} ms`;
  if (n < 60_000) return `${sign}${(n / 1000).toFixed(n < 10_000 ? 2 : 1)} s`;
  const units: [string, number][] = [["y", 31_557_600], ["mo", 2_629_800], ["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  let rest = Math.round(n / 1000);
  const parts: string[] = [];
  for (const [name, seconds] of units) {
    const whole = Math.floor(rest / seconds);
    if (whole > 0) parts.push(`${whole} ${name}`);
    else if (parts.length > 0) break;
    rest -= whole * seconds;
    if (parts.length === 2) break;
  }
  return sign + parts.join(" ");
}

/** Seconds still to go: "about 12 s". */
export const eta = (seconds: number): string => (seconds < 1 ? "less than 1 s" : `about ${duration(Math.ceil(seconds) * 1000)}`);

const pad = (n: number, width = 2): string => String(n).padStart(width, "0");

/** The zone's name as it stands beside times. */
export function zoneName(zone: "utc" | "local"): string {
  if (zone === "utc") return "UTC";
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
}

/** Date and time of an RFC 3339 instant in the zone asked for, apart. */
export function stamp(text: string, zone: "utc" | "local"): { date: string; time: string; millis: string } {
  const t = new Date(text);
  if (Number.isNaN(t.getTime())) return { date: text, time: "", millis: "" };
  const [y, mo, d, h, mi, s, ms] = zone === "utc"
    ? [t.getUTCFullYear(), t.getUTCMonth(), t.getUTCDate(), t.getUTCHours(), t.getUTCMinutes(), t.getUTCSeconds(), t.getUTCMilliseconds()]
    : [t.getFullYear(), t.getMonth(), t.getDate(), t.getHours(), t.getMinutes(), t.getSeconds(), t.getMilliseconds()];
  return { date: `${y}-${pad(mo + 1)}-${pad(d)}`, time: `${pad(h)}:${pad(mi)}:${pad(s)}`, millis: `.${pad(ms, 3)}` };
}

/** The whole instant on one line. */
export function instant(text: string | undefined | null, zone: "utc" | "local"): string {
  if (!text) return "—";
  const { date, time, millis } = stamp(text, zone);
  return `${date} ${time}${millis}`;
}

/** An id short enough for a table: its first digits. */
export const shortID = (id: string, digits = 8): string => (id.length <= digits + 4 ? id : `${id.slice(0, digits)}…`);

/** topic/partition/offset. */
export const position = (c: { topic: string; partition: number; offset: number }): string => `${c.topic}/${c.partition}/${c.offset}`;

/** Bytes from base64. */
export function fromBase64(text: string): Uint8Array {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

/** Bytes as lines of offset, sixteen bytes, and their ASCII. */
export function hexLines(data: Uint8Array, most = 4096): { lines: string[]; cut: number } {
  const shown = data.subarray(0, most);
  const lines: string[] = [];
  for (let at = 0; at < shown.length; at += 16) {
    const row = [...shown.subarray(at, at + 16)];
    const hex = row.map((b) => b.toString(16).padStart(2, "0"));
    const left = hex.slice(0, 8).join(" ");
    const right = hex.slice(8).join(" ");
    const ascii = row.map((b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${left.padEnd(23)}  ${right.padEnd(23)}  ${ascii}`);
  }
  return { lines, cut: data.length - shown.length };
}

/** A server's words as a sentence: they begin small and end without a stop, as Go's errors do. */
export function sentence(text: string, stop = "."): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?:]$/.test(begun) ? begun : begun + stop;
}
