// Lists the explorer's tests that were skipped, from vitest's JSON report. A
// test says why in its name, after a colon.
import { readFileSync } from "node:fs";
import { relative } from "node:path";

const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
for (const file of report.testResults) {
  for (const test of file.assertionResults) {
    if (test.status === "passed" || test.status === "failed") continue;
    console.log(`=== SKIP: ${relative(process.cwd(), file.name)} ${test.fullName}`);
  }
}
