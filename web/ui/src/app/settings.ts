// The settings of the reader: theme, time zone, and the name under which they ask
// for replays and decide about them. Kept in the browser.
import { useEffect, useState } from "preact/hooks";

export type Theme = "system" | "light" | "dark";
export type Zone = "utc" | "local";

interface Settings {
  theme: Theme;
  zone: Zone;
  /** "" is nobody. Nothing checks it. */
  name: string;
}

const key = "annals.settings";
const listeners = new Set<() => void>();
let current: Settings = read();

function read(): Settings {
  const fallback: Settings = { theme: "system", zone: "utc", name: "" };
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? "{}") as Partial<Settings>;
    return {
      theme: kept.theme === "light" || kept.theme === "dark" ? kept.theme : fallback.theme,
      zone: kept.zone === "local" ? "local" : fallback.zone,
      name: typeof kept.name === "string" ? kept.name : fallback.name,
    };
  } catch {
    return fallback; // storage is off, or holds something else: the defaults serve
  }
}

/** Put the theme on the page. Called before anything is drawn. */
export function applyTheme(): void {
  const root = document.documentElement;
  if (current.theme === "system") root.removeAttribute("data-theme");
  else root.dataset.theme = current.theme;
}

/** Change a setting, and keep it. */
export function change(next: Partial<Settings>): void {
  current = { ...current, ...next };
  applyTheme();
  try {
    localStorage.setItem(key, JSON.stringify(current));
  } catch {
    // Without storage the setting lasts as long as the page.
  }
  for (const tell of listeners) tell();
}

/** Who asks, for the API. */
export const userName = (): string => current.name.trim();

/** The settings, as a hook. */
export function useSettings(): Settings {
  const [settings, set] = useState(current);
  useEffect(() => {
    const tell = (): void => set(current);
    listeners.add(tell);
    return () => void listeners.delete(tell);
  }, []);
  return settings;
}

/** Whether the page is dark now. */
export function isDark(): boolean {
  if (current.theme !== "system") return current.theme === "dark";
  return window.matchMedia("(prefers-color-scheme: dark)").matches;
}
