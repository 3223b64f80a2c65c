// What the scripts share: where the engines are, and one JSON line as answer.
import { readFileSync } from 'node:fs';

export const argument = (n) => {
  if (process.argv[n] === undefined) throw new Error(`argument ${n - 1} is missing`);
  return process.argv[n];
};

export const up = JSON.parse(readFileSync(argument(2), 'utf8'));

export const print = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
