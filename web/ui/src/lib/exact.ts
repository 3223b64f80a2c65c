// JSON whose numbers stay as they were sent. JSON.parse reads 64-bit numbers
// and long decimals as the nearest double, and 1.10 as 1.1: an audit archive
// must show what is there. A number that a double cannot write back the same
// way is kept with its text.

/** A number that counts like any other, and remembers how it was written. */
export class ExactNumber extends Number {
  constructor(readonly source: string) {
    super(source);
  }

  /** Written back as it was, where the browser can (JSON.rawJSON), else as the nearest number. */
  toJSON(): unknown {
    const raw = (JSON as { rawJSON?: (text: string) => unknown }).rawJSON;
    return raw ? raw(this.source) : this.valueOf();
  }
}

type Reviver = (this: unknown, key: string, value: unknown, context?: { source?: string }) => unknown;

const revive: Reviver = (_key, value, context) => {
  if (typeof value !== "number" || context?.source === undefined) return value;
  return String(value) === context.source ? value : new ExactNumber(context.source);
};

/** JSON.parse with exact numbers, in browsers that tell a number's source (since 2024 or so); elsewhere JSON.parse. */
export function parseExact(text: string): unknown {
  return JSON.parse(text, revive as (this: unknown, key: string, value: unknown) => unknown);
}
