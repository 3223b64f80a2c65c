// Fails when the explorer is above its limit. Pages that come later count, too:
// the first load is less.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const limit = 60 * 1024;
const folder = process.argv[2] ?? "dist";

let total = 0;
for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || entry.name === "placeholder.html") continue;
  const path = join(entry.parentPath, entry.name);
  const bytes = gzipSync(readFileSync(path), { level: 9 }).length;
  total += bytes;
  console.log(`${String(bytes).padStart(8)}  ${path}`);
}
console.log(`${String(total).padStart(8)}  in all, gzip; the limit is ${limit}`);
if (total > limit) {
  console.error(`The first load is ${total - limit} bytes above its limit.`);
  process.exit(1);
}
