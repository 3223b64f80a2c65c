// The built explorer with the fixtures behind it, under the same content
// security policy, and as compressed, as from the real server. "npm run fixtures" after a build.
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { createGzip } from "node:zlib";
import { handle, samples } from "./fixtures.mjs";

const root = process.argv[2] ?? fileURLToPath(new URL("../dist", import.meta.url));
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const policy = "default-src 'self'; script-src 'self'; style-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

const server = createServer((request, response) => {
  if (request.url.startsWith("/api/")) return void handle(request, response);
  const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
  const file = extname(path) && existsSync(join(root, path)) ? join(root, path) : join(root, "index.html");
  response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream", "content-security-policy": policy, "x-content-type-options": "nosniff", "content-encoding": "gzip" });
  createReadStream(file).pipe(createGzip()).pipe(response);
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log(JSON.stringify({ base: `http://127.0.0.1:${server.address().port}`, ...samples }));
});
