// The browser: the system's Chromium, driven by the playwright-core that the
// explorer's own package.json pins.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";

const flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(" ");

/** Where Chromium is: ANNALS_CHROMIUM, else the usual places. */
export const executable = [process.env.ANNALS_CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => path && existsSync(path));

export async function launch() {
  if (!executable) throw new Error("no Chromium here: install it (Debian: apt install chromium), or name it in ANNALS_CHROMIUM");
  const { chromium } = createRequire(new URL("../../web/ui/package.json", import.meta.url))("playwright-core");
  return chromium.launch({ executablePath: executable, args: flags });
}
