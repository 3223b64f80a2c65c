// Reading from the API as a hook: cached answers are shown at once and read
// again, so that "back" neither waits nor jumps.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { asProblem, get, type Problem } from "../api/client";

const kept = new Map<string, unknown>();
const most = 60;

function keep(path: string, value: unknown): void {
  kept.delete(path);
  kept.set(path, value);
  if (kept.size > most) kept.delete(kept.keys().next().value as string);
}

/** A resource: its newest value, what went wrong last, and whether it is being read. */
export interface Resource<T> {
  data: T | undefined;
  problem: Problem | undefined;
  loading: boolean;
  /** Whether data belongs to an address before this one. */
  stale: boolean;
  reload: () => void;
}

interface Shown<T> {
  path: string | undefined;
  data: T | undefined;
  problem: Problem | undefined;
  loading: boolean;
}

/**
 * Read a path below /api/v1; undefined reads nothing. every polls after that
 * many milliseconds, counted from the answer, and rests while the page is hidden.
 * hold keeps the old value on screen while another path is read.
 */
export function useResource<T>(path: string | undefined, options: { every?: number | undefined; hold?: boolean } = {}): Resource<T> {
  const { every, hold } = options;
  const [shown, set] = useState<Shown<T>>(() => start(path));
  const [turn, setTurn] = useState(0);
  const latest = useRef(path);
  latest.current = path;

  useEffect(() => {
    if (path === undefined) {
      set({ path, data: undefined, problem: undefined, loading: false });
      return;
    }
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    set((old) => (old.path === path ? { ...old, loading: true } : { ...start<T>(path, hold ? old.data : undefined) }));

    const read = async (): Promise<void> => {
      try {
        const data = await get<T>(path, abort.signal);
        keep(path, data);
        set({ path, data, problem: undefined, loading: false });
      } catch (thrown) {
        if (abort.signal.aborted) return;
        set((old) => ({ path, data: old.path === path ? old.data : undefined, problem: asProblem(thrown), loading: false }));
      }
      if (every && !abort.signal.aborted) timer = setTimeout(poll, every);
    };
    const poll = (): void => {
      if (document.hidden) timer = setTimeout(poll, every);
      else void read();
    };
    void read();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [path, every, turn]);

  const reload = useCallback(() => setTurn((n) => n + 1), []);
  // The effect runs after the first drawing of a new path: until then, what is
  // kept of the new one is shown, not the old one's value as if it were new.
  const now = shown.path === path ? shown : start<T>(path, hold ? shown.data : undefined);
  return { ...now, stale: shown.path !== path || (now.loading && !kept.has(path ?? "")), reload };
}

function start<T>(path: string | undefined, held?: T): Shown<T> {
  const data = path === undefined ? undefined : ((kept.get(path) as T | undefined) ?? held);
  return { path, data, problem: undefined, loading: path !== undefined };
}
