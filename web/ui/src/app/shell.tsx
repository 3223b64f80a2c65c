// The frame around every page: navigation, the search box, state of the
// archive, settings, and which page the address names.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { paths } from "../api/client";
import type { Status } from "../api/types";
import { zoneName } from "../lib/format";
import { RecordPage } from "../pages/record";
import { ReplayPage, ReplaysPage } from "../pages/replays";
import { SearchPage } from "../pages/search";
import { TopicsPage } from "../pages/topics";
import { TracePage } from "../pages/trace/page";
import { Empty } from "../ui/states";
import { HelpSheet } from "./help";
import { useKeys } from "./keys";
import { later } from "./later";
import { go, match, useLocation } from "./router";
import { useResource } from "./resource";
import { SearchBox } from "./searchbox";
import { change, isDark, useSettings } from "./settings";

const AnomaliesPage = later(() => import("../pages/later").then((m) => m.AnomaliesPage));
const CatalogPage = later(() => import("../pages/later").then((m) => m.CatalogPage));
const DeadLettersPage = later(() => import("../pages/later").then((m) => m.DeadLettersPage));
const NewReplayPage = later(() => import("../pages/later").then((m) => m.NewReplayPage));

export function Shell(): JSX.Element {
  const location = useLocation();
  const [help, setHelp] = useState(false);
  const status = useResource<Status>(paths.status, { every: 5000 });
  useKeys({
    "?": () => setHelp(true),
    "/": () => {
      const box = document.getElementById("search") as HTMLInputElement | null;
      box?.focus();
      box?.select();
    },
    g: () => go("/"),
    T: () => change({ theme: isDark() ? "light" : "dark" }),
    z: () => change({ zone: document.body.dataset.zone === "local" ? "utc" : "local" }),
  });
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById("main")?.focus(); }}>Skip to content</a>
      <TopBar path={location.path} status={status.data} lost={status.problem !== undefined} onHelp={() => setHelp(true)} />
      <main id="main" tabIndex={-1}>
        <Page path={location.path} status={status.data} />
      </main>
      {help && <HelpSheet onClose={() => setHelp(false)} />}
    </>
  );
}

function Page(props: { path: string; status: Status | undefined }): JSX.Element {
  const { path, status } = props;
  if (path === "/") return <SearchPage demo={status?.demo === true} />;
  if (path === "/topics") return <TopicsPage />;
  if (path === "/anomalies") return <AnomaliesPage />;
  if (path === "/catalog") return <CatalogPage />;
  if (path === "/dead-letters") return <DeadLettersPage />;
  if (path === "/replays") return <ReplaysPage />;
  if (path === "/replays/new") return <NewReplayPage />;
  const replay = match("/replays/:id", path);
  if (replay) return <ReplayPage id={replay.id!} />;
  const trace = match("/trace/:id", path);
  if (trace) return <TracePage key={trace.id} id={trace.id!} />;
  const record = match("/record/:topic/:partition/:offset", path);
  if (record && /^\d+$/.test(record.partition!) && /^\d+$/.test(record.offset!)) {
    return <RecordPage topic={record.topic!} partition={Number(record.partition)} offset={Number(record.offset)} />;
  }
  return (
    <div class="page">
      <Empty title="There is no such page">
        <p>The address <code>{path}</code> names nothing here. Type an id into the search box, or go to <a href="/">the newest records</a>.</p>
      </Empty>
    </div>
  );
}

function TopBar(props: { path: string; status: Status | undefined; lost: boolean; onHelp: () => void }): JSX.Element {
  const { theme, zone } = useSettings();
  useEffect(() => { document.body.dataset.zone = zone; }, [zone]);
  const at = (prefix: string, also = ""): { "aria-current"?: "page" } =>
    (prefix === "/" ? props.path === "/" || (also !== "" && props.path.startsWith(also)) : props.path.startsWith(prefix)) ? { "aria-current": "page" } : {};
  const dark = theme === "system" ? isDark() : theme === "dark";
  return (
    <header class="topbar">
      <a class="brand" href="/" aria-label="Annals, the newest records">
        <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true"><path d="M3 5.5h13M3 10h7.5M3 14.5h5" /><circle cx="14" cy="13" r="3" /></svg>
        <span>Annals</span>
      </a>
      <nav aria-label="Pages">
        <a href="/" {...at("/", "/trace")}>Search</a>
        <a href="/topics" {...at("/topics")}>Topics</a>
        <a href="/catalog" {...at("/catalog")}>Catalog</a>
        <a href="/anomalies" {...at("/anomalies")}>Anomalies</a>
        <a href="/replays" {...at("/replays")}>Replays</a>
        <a href="/dead-letters" {...at("/dead-letters")}>Dead letters</a>
      </nav>
      <SearchBox path={props.path} />
      <div class="tools">
        <Health status={props.status} lost={props.lost} />
        <button type="button" class="tool" onClick={() => change({ zone: zone === "utc" ? "local" : "utc" })} title="Times in UTC or local time (z)" aria-label={`Times are in ${zoneName(zone)}; switch`}>
          {zone === "utc" ? "UTC" : "Local"}
        </button>
        <button type="button" class="tool icon" onClick={() => change({ theme: dark ? "light" : "dark" })} title="Light or dark (T)" aria-label={dark ? "Switch to light" : "Switch to dark"}>
          <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><circle cx="8" cy="8" r="5.5" fill="none" /><path class="solid" d="M8 2.5a5.5 5.5 0 0 1 0 11z" /></svg>
        </button>
        <button type="button" class="tool icon" onClick={props.onHelp} title="Keyboard (?)" aria-label="Keyboard shortcuts">?</button>
      </div>
    </header>
  );
}

function Health(props: { status: Status | undefined; lost: boolean }): JSX.Element {
  const { status, lost } = props;
  const state = lost ? "lost" : !status ? "asking" : status.ready ? "ready" : "waiting";
  const words = { lost: "No answer", asking: "…", ready: "Ready", waiting: "Not ready" }[state];
  return (
    <details class="health">
      <summary class="tool" aria-label={`State of the archive: ${words}`}>
        <span class={`lamp ${state}`} aria-hidden="true" />
        <span>{words}</span>
      </summary>
      <div class="pop">
        {lost && <p>The server does not answer. What is shown may be old; it is asked again every five seconds.</p>}
        {status?.dependencies.map((d) => (
          <Line key={d.name} name={{ kafka: "Kafka", store: "Object store", index: "Index", spool: "Spool" }[d.name]} ready={d.ready}>{d.detail}</Line>
        ))}
        {status && <p class="faint">{status.version.replace(/^annals/, "Annals")}{status.roles?.length ? ` · ${status.roles.join(", ")}` : ""}</p>}
      </div>
    </details>
  );
}

function Line(props: { name: string; ready: boolean; children: ComponentChildren }): JSX.Element {
  return (
    <div class="dependency">
      <span class={`lamp ${props.ready ? "ready" : "waiting"}`} aria-hidden="true" />
      <b>{props.name}</b>
      <span>{props.ready ? "ready" : "not ready"}{props.children ? " · " : ""}{props.children}</span>
    </div>
  );
}
