// A job as it changes: by server-sent events while the page is looked at, by
// asking every second where those do not come.
import { useEffect, useState } from "preact/hooks";
import { eventsURL, paths } from "../api/client";
import type { ReplayJob } from "../api/types";
import { parseExact } from "../lib/exact";
import { type Resource, useResource } from "./resource";

/** The states in which nothing changes any more. */
export const ended = new Set<ReplayJob["state"]>(["done", "failed", "cancelled", "rejected"]);

/** How often in a row a stream may break before it is not tried again. */
const patience = 3;

/** A job; follows it until it has ended. */
export function useLiveJob(id: string): Resource<ReplayJob> {
  const [live, setLive] = useState<ReplayJob>();
  const [streams, setStreams] = useState(false);
  const [over, setOver] = useState(false);
  const asked = useResource<ReplayJob>(paths.replay(id), { every: streams || over ? undefined : 1000 });
  // Asked again by hand, the answer is newer than the last event.
  const newest = live?.id === asked.data?.id && live && asked.data && Date.parse(live.updated) >= Date.parse(asked.data.updated) ? live : asked.data;
  useEffect(() => setOver(!!newest && ended.has(newest.state)), [newest?.state]);
  useEffect(() => {
    if (over || typeof EventSource === "undefined") return;
    let source: EventSource | undefined;
    let broken = 0;
    const stop = (): void => {
      source?.close();
      source = undefined;
      setStreams(false);
    };
    const begin = (): void => {
      if (source || document.hidden || broken >= patience) return;
      source = new EventSource(eventsURL(id));
      source.addEventListener("job", (event) => {
        broken = 0;
        setStreams(true);
        setLive(parseExact((event as MessageEvent<string>).data) as ReplayJob);
      });
      source.addEventListener("end", stop);
      source.addEventListener("error", () => {
        setStreams(false); // asked every second until the stream is back
        if (++broken >= patience || source?.readyState === EventSource.CLOSED) {
          broken = patience;
          stop();
        }
      });
    };
    // A page that nobody looks at holds no stream: a browser has few for a server.
    const look = (): void => (document.hidden ? stop() : begin());
    document.addEventListener("visibilitychange", look);
    begin();
    return () => {
      document.removeEventListener("visibilitychange", look);
      stop();
    };
  }, [id, over]);
  return { ...asked, data: newest };
}
