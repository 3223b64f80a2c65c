import { defineConfig, type Plugin } from "vite";

// During development the API is a real server when ANNALS_API names one, else
// the fixtures. Neither is part of the build.
const api = process.env.ANNALS_API;

function fixtures(): Plugin {
  return {
    name: "annals-fixtures",
    apply: "serve",
    async configureServer(server) {
      if (api) return;
      const { handle } = await import("./dev/fixtures.mjs");
      server.middlewares.use((request, response, next) => {
        if (request.url?.startsWith("/api/")) void handle(request, response);
        else next();
      });
    },
  };
}

// The pages that come later are one file without styles of its own: Vite's
// loader, which would fetch more beside it, has nothing to do.
function plainImport(): Plugin {
  return {
    name: "annals-plain-import",
    apply: "build",
    enforce: "pre",
    load: (id) => (id === "\0vite/preload-helper.js" ? "export const __vitePreload = (load) => load();" : undefined),
  };
}

export default defineConfig({
  plugins: [fixtures(), plainImport()],
  server: api ? { proxy: { "/api": { target: api, changeOrigin: true } } } : {},
  build: {
    target: "es2022",
    // Everything is one first load; scripts/size.mjs holds it to its limit.
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
