// Walks the explorer of a running Annals in a real browser:
//
//   node test/browser/run.mjs --base http://127.0.0.1:8080 --out DIR [--query "type:FxRateEnriched"] [--only trace,topics]
//
// It searches, exports, opens a trace, reads what a step changed and follows a
// field, draws the graph, opens a record, reads catalog and anomalies, seals,
// plans a replay, runs it and reads the receipt; in light and in dark, by
// keyboard and by mouse. Pictures go to DIR. Exit code 1 and a list of what
// failed when content is missing, a role or a name is absent, text is too faint,
// or the browser reports any error.
import { mkdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { audit } from "./audit.mjs";
import { launch } from "./chromium.mjs";
import { steps } from "./steps.mjs";

const { values: args } = parseArgs({
  options: {
    base: { type: "string" }, out: { type: "string" }, query: { type: "string" },
    only: { type: "string" }, timeout: { type: "string", default: "30000" },
  },
});
if (!args.base || !args.out) {
  console.error("usage: node run.mjs --base http://127.0.0.1:PORT --out DIR [--query TEXT] [--only step,step] [--timeout MILLISECONDS]");
  process.exit(2);
}
mkdirSync(args.out, { recursive: true });
const base = args.base.replace(/\/$/, "");
const only = args.only?.split(",");
const failures = [];
const browser = await launch();

for (const scheme of ["light", "dark"]) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: scheme, reducedMotion: "reduce", acceptDownloads: true });
  context.setDefaultTimeout(Number(args.timeout));
  const page = await context.newPage();
  let step = "";
  let expected = []; // statuses that the running step asks for
  const fail = (what) => { failures.push(`${scheme} ${step}: ${what}`); console.log(`FAIL ${scheme} ${step}: ${what}`); };
  page.on("pageerror", (error) => fail(`exception: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    if (/Failed to load resource/.test(message.text())) return; // told by the response below
    fail(`console: ${message.text()}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400 && !expected.includes(response.status())) fail(`${response.status()} ${response.url()}`);
  });
  const walk = {
    page, base, scheme,
    state: { query: args.query },
    api: async (path) => {
      const response = await fetch(`${base}/api/v1${path}`);
      if (!response.ok) throw new Error(`${response.status} ${path}: ${await response.text()}`);
      return response.json();
    },
    check: (holds, what) => { if (!holds) fail(what); return holds; },
    expecting: (...statuses) => { expected = statuses; },
    /** A picture, and everything that can be seen wrong on it by a program. */
    look: async (name) => {
      for (const finding of await audit(page)) fail(`${name}: ${finding}`);
      await page.screenshot({ path: `${args.out}/${name}-${scheme}.png` });
    },
  };
  for (const [name, run] of Object.entries(steps)) {
    if (only && !only.includes(name)) continue;
    step = name;
    expected = [];
    const began = Date.now();
    try {
      await run(walk);
      console.log(`ok   ${scheme} ${name} ${Date.now() - began} ms`);
    } catch (error) {
      fail(error.message.split("\n").slice(0, 6).join(" | "));
      await page.screenshot({ path: `${args.out}/failed-${name}-${scheme}.png` }).catch(() => {});
    }
  }
  await context.close();
}
await browser.close();
if (failures.length > 0) {
  console.error(`\n${failures.length} failed:\n${failures.map((f) => `  ${f}`).join("\n")}`);
  process.exit(1);
}
console.log("everything holds");
