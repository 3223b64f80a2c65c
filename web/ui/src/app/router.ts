// Every state of the explorer is its address: this router is the only writer
// of it. Paths are matched whole; parameters are percent-decoded.
import { useEffect, useState } from "preact/hooks";

/** An address taken apart. */
export interface Location {
  path: string;
  params: URLSearchParams;
}

const listeners = new Set<() => void>();

// The page scrolls inside <main>, so how far is ours to remember.
const scrolled = new Map<string, number>();
const main = (): HTMLElement | null => document.getElementById("main");
const shown = (): string => window.location.pathname + window.location.search;

/** The address shown now. */
export function here(): Location {
  return { path: window.location.pathname, params: new URLSearchParams(window.location.search) };
}

/** Go to an address of ours. replace keeps it out of the history. */
export function go(to: string, options: { replace?: boolean; state?: unknown; keepScroll?: boolean } = {}): void {
  scrolled.set(shown(), main()?.scrollTop ?? 0);
  const same = to === shown();
  if (options.replace || same) window.history.replaceState(options.state ?? null, "", to);
  else window.history.pushState(options.state ?? null, "", to);
  if (!options.keepScroll && !options.replace) requestAnimationFrame(() => main()?.scrollTo(0, 0));
  for (const tell of listeners) tell();
}

/** Change some parameters of the address shown now; undefined removes one. */
export function setParams(
  changes: Record<string, string | undefined>,
  options: { replace?: boolean } = { replace: true },
): void {
  const { path, params } = here();
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === "") params.delete(name);
    else params.set(name, value);
  }
  go(address(path, params), { ...options, keepScroll: true });
}

/** A path and its parameters as one address. */
export function address(path: string, params?: URLSearchParams | Record<string, string | undefined>): string {
  let fields = params;
  if (fields && !(fields instanceof URLSearchParams)) {
    const set = Object.entries(fields).filter((e): e is [string, string] => e[1] !== undefined && e[1] !== "");
    fields = new URLSearchParams(set);
  }
  // Slashes and colons are allowed in a query, and keep it readable.
  const text = fields?.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  return text ? `${path}?${text}` : path;
}

/** Match a path against a pattern such as "/record/:topic/:partition/:offset". */
export function match(pattern: string, path: string): Record<string, string> | undefined {
  const want = pattern.split("/");
  const have = path.replace(/\/+$/, "").split("/");
  if (want.length !== have.length && !(pattern === "/" && path === "/")) return undefined;
  const out: Record<string, string> = {};
  for (const [i, part] of want.entries()) {
    const value = have[i] ?? "";
    if (part.startsWith(":")) {
      try {
        out[part.slice(1)] = decodeURIComponent(value);
      } catch {
        return undefined; // a lone "%": no address of ours
      }
      if (value === "") return undefined;
    } else if (part !== value) {
      return undefined;
    }
  }
  return out;
}

/** The address, as a hook: the component is drawn again whenever it changes. */
export function useLocation(): Location {
  const [location, set] = useState(here);
  useEffect(() => {
    const tell = (): void => set(here());
    listeners.add(tell);
    window.addEventListener("popstate", tell);
    return () => {
      listeners.delete(tell);
      window.removeEventListener("popstate", tell);
    };
  }, []);
  return location;
}

/** Addresses of the pages. */
export const pages = {
  search: (q?: string): string => address("/", { q }),
  trace: (id: string, params?: Record<string, string | undefined>): string =>
    address(`/trace/${encodeURIComponent(id)}`, params),
  record: (p: { topic: string; partition: number; offset: number }): string =>
    `/record/${encodeURIComponent(p.topic)}/${p.partition}/${p.offset}`,
  topics: (open?: string): string => address("/topics", { open }),
  catalog: (params?: Record<string, string | undefined>): string => address("/catalog", params),
  replays: (): string => "/replays",
  replay: (id: string): string => `/replays/${id}`,
  newReplay: (params?: Record<string, string | undefined>): string => address("/replays/new", params),
};

const key = "annals.results";

/** Remember the results that the reader leaves, for "back to results". */
export function rememberResults(): void {
  sessionStorage.setItem(key, window.location.pathname + window.location.search);
}

/** The results last looked at. */
export function lastResults(): string {
  return sessionStorage.getItem(key) ?? "/";
}

/** Put "back" where the reader was, once the page is drawn from what is kept. */
export function restoreScroll(): void {
  window.addEventListener("popstate", () => {
    const at = scrolled.get(shown()) ?? 0;
    requestAnimationFrame(() => requestAnimationFrame(() => main()?.scrollTo(0, at)));
  });
}

/** Leave clicks with a modifier to the browser; take plain ones on our own links. */
export function interceptLinks(): void {
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.("a[href]") as HTMLAnchorElement | null;
    if (!link || link.target || link.hasAttribute("download") || link.origin !== window.location.origin) return;
    if (link.pathname.startsWith("/api/")) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
