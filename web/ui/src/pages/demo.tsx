// Three things to try, shown while the demo's data is here.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { paths } from "../api/client";
import type { Hit, RecordPage } from "../api/types";
import { useResource } from "../app/resource";
import { pages } from "../app/router";

const key = "annals.demo.closed";
const alert = "FxRiskAlertRaised";

export function DemoBanner(props: { newest: Hit | undefined }): JSX.Element | null {
  const [closed, close] = useState(() => sessionStorage.getItem(key) === "1");
  // A demo of few years has no 2008: then any alert will do.
  const winter = useResource<RecordPage>(closed ? undefined : paths.records({ event_type: alert, from: "2008-09-01T00:00:00Z", to: "2009-04-01T00:00:00Z", limit: 1 }));
  const old = winter.data === undefined || winter.data.records.length > 0;
  if (closed) return null;
  const trace = props.newest?.trace_id;
  return (
    <aside class="demo" aria-label="Things to try in the demo">
      <p class="demo-lead"><b>Demo</b> 27 years of the ECB's euro rates, running through four small services.</p>
      <ol>
        <li><a href={trace ? pages.trace(trace) : pages.search("type:FxRateReceived")}>Open the newest fixing day</a><span>and see what each service did to a rate</span></li>
        <li><a href={pages.search(`type:${alert}${old ? " after:2008-09-01 before:2009-04-01" : ""}`)}>{old ? "Alerts of the winter of 2008" : "Moves beyond four sigma"}</a><span>each declares the record it came from</span></li>
        <li><a href={pages.newReplay({ topics: "fx.risk.alerts" })}>Replay a slice of history</a><span>into new topics, counted first and proven after</span></li>
      </ol>
      <button type="button" class="tool" aria-label="Close the demo's banner" onClick={() => { sessionStorage.setItem(key, "1"); close(true); }}>Close</button>
    </aside>
  );
}
