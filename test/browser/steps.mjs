// The walk, step by step. Each step is a person's task, through what a person
// sees; the API is asked only to know what must be on the screen.

const rows = (page) => page.locator("table.hits tbody tr");
const path = (page) => new URL(page.url()).pathname + new URL(page.url()).search;
/** Wait until the address fits: the explorer changes it without loading a page. */
const at = (page, pattern) => page.waitForFunction((source) => new RegExp(source).test(location.pathname + location.search), pattern.source);
const place = (c) => `${c.topic}/${c.partition}/${c.offset}`;

export const steps = {
  /** The first load is light, and the newest records are there. */
  async home({ page, base, api, check, look, state }) {
    let weight = 0;
    const count = async (response) => {
      if (response.url().includes("/api/")) return;
      const { responseBodySize } = await response.request().sizes().catch(() => ({ responseBodySize: 0 }));
      weight += responseBodySize; // after the wait: others add to it meanwhile
    };
    page.on("response", count);
    await page.goto(base);
    await rows(page).first().waitFor();
    await page.waitForLoadState("networkidle").catch(() => {});
    page.off("response", count);
    check(weight > 0 && weight <= 150 * 1024, `the first load is ${weight} bytes; the limit is 153600`);
    const status = await api("/status");
    state.query ??= status.demo ? "type:FxRateEnriched" : "";
    if (status.demo) check(await page.getByRole("complementary", { name: "Things to try in the demo" }).isVisible(), "the demo's banner is missing");
    check(/^Searched [\d,]+ records? in \d+ topics?/.test(await page.locator(".searched").innerText()), "the page does not say what was searched");
    await look("home");
  },

  /** Everything about the keyboard that belongs to no other step. */
  async keyboard({ page, base, check, look }) {
    await page.goto(base);
    await rows(page).first().waitFor();
    await page.keyboard.press("/");
    check(await page.evaluate(() => document.activeElement?.id === "search"), "/ does not focus the search box");
    await page.keyboard.press("Escape");
    check(await page.evaluate(() => document.activeElement?.id !== "search"), "Esc does not leave the search box");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard and search" }).waitFor();
    await look("help");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    check(await rows(page).nth(1).getAttribute("aria-selected") === "true", "j j does not choose the second row");
    await page.keyboard.press("k");
    check(await rows(page).nth(0).getAttribute("aria-selected") === "true", "k does not go back a row");
    await page.keyboard.press("o");
    await at(page, /^\/record\//);
    await page.keyboard.press("Escape");
    await at(page, /^\/($|\?)/);
    await page.keyboard.press("Tab");
    check(await page.evaluate(() => document.activeElement !== document.body), "Tab focuses nothing");
  },

  /** Theme and time zone are kept. */
  async settings({ page, base, check, scheme, look }) {
    await page.goto(base);
    await rows(page).first().waitFor();
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const before = await paper();
    await page.keyboard.press("T");
    const other = await paper();
    check(before !== other, "T does not change the theme");
    await page.reload();
    await rows(page).first().waitFor();
    check(await paper() === other, "the theme is forgotten by a reload");
    await page.getByRole("button", { name: scheme === "light" ? "Switch to light" : "Switch to dark" }).click();
    check(await paper() === before, "the theme's button does not change it back");
    await page.keyboard.press("z");
    check((await page.locator("th.c-time").first().innerText()).trim() !== "Time UTC" || (await page.evaluate(() => Intl.DateTimeFormat().resolvedOptions().timeZone)) === "UTC", "z does not switch the zone");
    await page.keyboard.press("z");
    await look("settings");
  },

  /** Bad input is answered in words, with a mark under the character at fault. */
  async badinput({ page, base, check, look, expecting }) {
    await page.goto(base);
    const box = page.getByRole("combobox", { name: /Search/ });
    expecting(400, 404);
    await box.fill("service:x topik:fx");
    await box.press("Enter");
    await page.getByText("did you mean topic?").waitFor();
    check(await page.locator(".faulty mark").innerText() === "t", "the mark is not under the first character of topik");
    check((await page.locator(".faulty").innerText()) === "service:x topik:fx", "what was typed is not shown");
    await look("badinput");
    await box.fill("00000000000000000000000000000bad");
    await box.press("Enter");
    await page.getByText("Nothing in the archive has this id").waitFor();
    check(await page.locator(".searched").isVisible(), "an unknown id does not say what was searched");
    await look("unknown-id");
    await page.goto(`${base}/trace/00000000000000000000000000000bad`);
    await page.getByText(/No such trace|No record has this trace id/).waitFor();
    check(await page.locator(".searched").isVisible(), "an unknown trace does not say what was searched");
    await page.goto(`${base}/nowhere`);
    await page.getByText("There is no such page").waitFor();
  },

  /** Seal, so that the later steps have something sealed; coverage of a topic. */
  async topics({ page, base, api, check, look }) {
    await page.goto(`${base}/topics`);
    const grid = page.getByRole("treegrid", { name: "Topics" });
    await grid.waitFor();
    const seal = page.getByRole("button", { name: "Seal what is fresh" });
    if (await seal.isEnabled()) {
      await seal.click();
      await page.getByText(/^Sealed |^Everything was sealed/).waitFor({ timeout: 60_000 });
    }
    const { topics } = await api("/topics");
    const archived = topics.find((t) => t.archived && t.sealed_records > 0) ?? topics.find((t) => t.archived);
    check(await grid.locator("tbody > tr:not(.under)").count() >= topics.length, "not every topic has a row");
    await grid.getByRole("button", { name: archived.topic, exact: true }).click();
    const parts = page.getByRole("table", { name: `Partitions of ${archived.topic}` });
    await parts.waitFor();
    check(await parts.locator("tbody tr").count() >= archived.partitions, "not every partition has a row");
    check(path(page).includes("open="), "what is open is not in the address");
    const asked = page.waitForRequest((r) => new URL(r.url()).searchParams.get("from") === "2000-01-01T00:00:00Z" && r.url().includes("/verdict?"));
    await page.getByLabel("Record times from, UTC").fill("2000-01-01T00:00");
    const ranged = await (await (await asked).response()).json();
    await page.locator("p + .verdict > summary").getByText(ranged.complete ? "Complete" : "Not complete", { exact: true }).waitFor();
    check(path(page).includes("from=2000-01-01T00:00"), "the range is not in the address");
    await look("topics-range");
    await page.getByLabel("Record times from, UTC").fill("");
    await page.locator("p + .verdict").waitFor({ state: "detached" });
    const verdict = await api(`/verdict?topic=${archived.topic}`);
    await page.locator(".verdict > summary").getByText(verdict.complete ? "Complete" : "Not complete", { exact: true }).waitFor();
    await look("topics");
    await page.getByRole("link", { name: "Newest records", exact: true }).click();
    await rows(page).first().waitFor();
    check((await page.getByRole("combobox", { name: /Search/ }).inputValue()) === `topic:${archived.topic}`, "the search box does not say what is searched");
  },

  /** What could not be processed: counted by topic and reason, each with its context; and nothing of it. */
  async deadletters({ page, base, api, check, look }) {
    const { dead_letters: letters, total, counts } = await api("/dead-letters");
    check(total > 0 && counts.length > 0, "the archive has no dead letters, so this step sees none");
    await page.goto(base);
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Dead letters" }).click();
    const grid = page.getByRole("treegrid", { name: "Dead letters" });
    await grid.waitFor();
    check(await grid.locator("tbody > tr").count() === letters.length, "not every dead letter has a row");
    const by = page.getByRole("table", { name: "Dead letters by topic and reason" });
    for (const c of counts) {
      const row = by.getByRole("row").filter({ has: page.getByText(c.topic, { exact: true }) });
      check((await row.allInnerTexts()).some((text) => text.trim().endsWith(String(c.dead_letters))), `${c.topic} is not counted as ${c.dead_letters}`);
    }
    check(await grid.getByText(letters[0].error, { exact: true }).first().isVisible(), "a row does not say what went wrong");
    await look("dead-letters");
    await page.goto(`${base}/dead-letters`); // Enter is a focused link's own
    await grid.waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await at(page, /open=/);
    const context = grid.locator(".letter");
    await context.waitFor();
    const said = await context.innerText();
    for (const part of [letters[0].topic_id, letters[0].key, letters[0].writer]) check(said.includes(part), `the context of a letter lacks ${part}`);
    await look("dead-letter");
    await page.keyboard.press("Escape");
    await context.waitFor({ state: "detached" });
    const one = counts.at(-1);
    await by.getByRole("row").filter({ has: page.getByText(one.topic, { exact: true }) }).last().getByRole("button").click();
    await at(page, /component=/);
    const { total: some } = await api(`/dead-letters?${new URL(page.url()).searchParams}`);
    await page.waitForFunction((n) => document.querySelectorAll("table.letters > tbody > tr").length === n && !document.querySelector(".dim"), some);
    await page.keyboard.press("Escape");
    await page.waitForFunction((n) => document.querySelectorAll("table.letters > tbody > tr").length === n, letters.length);
    await page.goto(`${base}/dead-letters?topic=of.no.such.name`);
    await page.getByText("No dead letter matches").waitFor();
    await page.route("**/api/v1/dead-letters*", (route) => route.fulfill({ json: { dead_letters: [], total: 0, counts: [], counts_left_out: 0 } }));
    await page.goto(`${base}/dead-letters`);
    await page.getByText("There are no dead letters").waitFor();
    await look("dead-letters-none");
    await page.unroute("**/api/v1/dead-letters*");
  },

  /** Every event type with its versions, makers and owner; broken rules, and the way to the records. */
  async catalog({ page, base, api, check, look }) {
    const { event_types: types } = await api("/catalog");
    check(types.length > 0, "the catalog is empty, so this step sees nothing");
    await page.goto(base);
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Catalog" }).click();
    const grid = page.getByRole("treegrid", { name: "Event types" });
    await grid.waitFor();
    check(await grid.locator("tbody > tr").count() === types.length, "not every event type has a row");
    await look("catalog");
    await page.goto(`${base}/catalog`);
    await grid.waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await at(page, /open=/);
    const detail = grid.locator(".letter");
    const { event_types: [one] } = await api(`/catalog?event_type=${encodeURIComponent(types[0].event_type)}`);
    if (one.sample) await detail.getByRole("link", { name: place(one.sample.coordinates) }).waitFor();
    if (one.schema !== undefined) await detail.getByText("Schema of the newest version").waitFor();
    const said = await detail.innerText();
    for (const part of [...one.topics.map((t) => t.topic), ...one.versions.map((v) => v.contract ?? "no contract"), one.consumers_known ? "with offsets of these topics" : "may not see"]) check(said.includes(part), `the detail of a type lacks ${part}`);
    await look("catalog-type");
    await page.keyboard.press("Escape");
    await detail.waitFor({ state: "detached" });

    await page.getByRole("tab", { name: "Contract violations" }).click();
    await at(page, /view=violations/);
    const { violations } = await api("/contracts/violations?limit=200");
    if (violations.length === 0) await page.getByText("No sealed record breaks a rule").waitFor();
    else await page.getByRole("grid", { name: "Contract violations" }).waitFor();
    await look("violations");
    // What the demo's archive may lack: one broken rule, whose records are a search.
    const hit = (await api("/records?limit=1")).records[0];
    const rule = "contract:type:/legs/*/amount";
    await page.route("**/api/v1/contracts/violations*", (route) => route.fulfill({ json: { more: true, violations: new URL(route.request().url()).searchParams.get("topic") === "none" ? [] : [{ topic: hit.coordinates.topic, event_type: hit.event_type, event_version: hit.event_version, source_service: hit.source_service, rule, records: 7, newest: hit.coordinates }] } }));
    await page.goto(`${base}/catalog?view=violations`);
    await page.getByText("There are more than these").waitFor();
    await page.getByRole("grid", { name: "Contract violations" }).getByRole("button", { name: hit.coordinates.topic, exact: true }).click();
    await at(page, /topic=/);
    check(await page.getByRole("button", { name: `No longer only topic ${hit.coordinates.topic}` }).isVisible(), "what narrows the violations is not said");
    await page.keyboard.press("Escape");
    await at(page, /^(?!.*topic=)/);
    await page.goto(`${base}/catalog?view=violations&topic=none`);
    await page.getByText("No violation matches").waitFor();
    await page.goto(`${base}/catalog?view=violations`);
    await page.getByRole("link", { name: rule }).click();
    await page.waitForFunction((text) => new URLSearchParams(location.search).get("q")?.startsWith(`violation:"${text}" topic:`), rule);
    await page.getByText("No record matches").or(rows(page).first()).first().waitFor();
    await page.unroute("**/api/v1/contracts/violations*");
  },

  /** Each check with what it could judge, each finding with its evidence; a moment that is in the address. */
  async anomalies({ page, base, api, check, look }) {
    await page.goto(base);
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Anomalies" }).click();
    const checks = page.getByRole("table", { name: "Checks" });
    await checks.waitFor();
    const now = await api("/anomalies");
    check(await checks.locator("tbody tr").count() === now.checks.length, "not every check has a row");
    for (const c of now.checks.filter((c) => c.note)) check((await checks.innerText()).toLowerCase().includes(c.note.toLowerCase()), `what ${c.kind} could not judge is not said`);
    const grid = page.getByRole("grid", { name: "Findings" });
    if (now.anomalies.length === 0) check(await page.getByText(/^Nothing (differs from how it was|was found, and)/).isVisible(), "the page does not say that nothing was found");
    else check(await grid.locator("tbody tr").count() === now.anomalies.length, "not every finding has a row");
    await look("anomalies-now");
    const moment = page.getByRole("textbox", { name: "As of which moment" });
    await moment.fill("some day");
    await moment.press("Enter");
    await page.getByRole("alert").getByText("Write a date").waitFor();
    await moment.fill("2008-10-24T14:15Z");
    await moment.press("Enter");
    await at(page, /at=2008-10-24T14:15:00/);
    // What the demo's archive may lack: findings, with traces and without.
    const hit = (await api("/records?limit=100")).records.find((r) => r.trace_id);
    const hour = { from: "2026-03-13T14:00:00Z", to: "2026-03-13T15:00:00Z" };
    const findings = [
      { kind: "throughput_drop", topic: hit.coordinates.topic, team: "market-data", component: "gateway", ...hour, value: 12, expected: 500, evidence: "12 records in the hour", traces: [hit.trace_id] },
      { kind: "lag", topic: hit.coordinates.topic, partition: 2, component: "archiver", ...hour, value: 3, expected: 0, evidence: "3 records are <b>not</b> sealed", traces: [] },
    ];
    await page.route("**/api/v1/anomalies*", (route) => route.fulfill({ json: { ...now, checks: now.checks.map((c) => (findings.some((f) => f.kind === c.kind) ? { ...c, state: "anomalies" } : c)), anomalies: findings, truncated: true } }));
    await page.goto(`${base}/anomalies`);
    await grid.waitFor();
    await page.getByText("There are more findings than the 2").waitFor();
    check((await grid.innerText()).includes("12 records, 500 expected"), "a finding does not say its figures");
    check(await grid.getByText("<b>not</b>").isVisible(), "evidence is not shown as it is written");
    await look("anomalies");
    await checks.getByRole("button", { name: "Lag" }).click();
    await at(page, /kind=lag/);
    check(await grid.locator("tbody tr").count() === 1, "a kind does not narrow the findings");
    await page.keyboard.press("Escape");
    await at(page, /^(?!.*kind=)/);
    await grid.getByRole("link", { name: hit.trace_id.slice(0, 8) }).click();
    await at(page, /^\/trace\//);
    await page.unroute("**/api/v1/anomalies*");
  },

  /** The box completes terms by keyboard, and what it made is searched. */
  async terms({ page, base, api, check, look }) {
    const { topics } = await api("/topics");
    const archived = topics.find((t) => t.archived && t.sealed_records + t.fresh_records > 0);
    await page.goto(base);
    const box = page.getByRole("combobox", { name: /Search/ });
    const list = page.getByRole("listbox", { name: "Terms that could be meant" });
    await box.click();
    await box.pressSequentially("to");
    await list.getByRole("option", { name: /^topic:/ }).waitFor();
    await box.press("ArrowDown");
    await look("terms");
    await box.press("Enter");
    check(await box.inputValue() === "topic:", "Enter does not take the term that is chosen");
    await box.pressSequentially(archived.topic.slice(0, -1));
    await list.getByRole("option", { name: archived.topic, exact: true }).click();
    check(await box.inputValue() === `topic:${archived.topic}`, "a click does not take a topic");
    await box.pressSequentially(" st");
    await list.getByRole("option").first().waitFor();
    await box.press("Escape");
    await list.waitFor({ state: "hidden" });
    check(await page.evaluate(() => document.activeElement?.id === "search"), "Esc leaves the box though it only closed the list");
    await box.pressSequentially("atus:all");
    await box.press("Enter");
    await page.waitForFunction((q) => new URLSearchParams(location.search).get("q") === q, `topic:${archived.topic} status:all`);
    await rows(page).first().waitFor();
    await page.waitForFunction(() => !document.querySelector(".dim"));
    const places = await page.locator("table.hits tbody td.c-place").allInnerTexts();
    check(places.length > 0 && places.every((p) => p.includes(archived.topic)), "records of other topics are shown");
  },

  /** What the index does not have is read from the archive, and the page says how much was. */
  async scan({ page, base, api, check, look }) {
    const { topics } = await api("/topics");
    const sealed = topics.find((t) => t.archived && t.sealed_records > 0);
    await page.goto(base);
    const box = page.getByRole("combobox", { name: /Search/ });
    await box.fill(`topic:${sealed?.topic ?? topics[0].topic} payload:e`);
    await box.press("Enter");
    await page.getByRole("heading", { name: "Read from the archive" }).waitFor();
    check(/searched [\d,]+ of [\d,]+ records?, .+ of /.test(await page.locator(".bar .count").innerText()), "the page does not say how much was read");
    check(!sealed || await rows(page).count() > 0, "nothing was found");
    await look("scan");
  },

  /** Filters, older pages, live tail, and into a trace. */
  async search({ page, base, check, look, state, api }) {
    await page.goto(base);
    await rows(page).first().waitFor();
    const box = page.getByRole("combobox", { name: /Search/ });
    await box.fill(state.query);
    await box.press("Enter");
    await page.waitForFunction((q) => (new URLSearchParams(location.search).get("q") ?? "") === q, state.query);
    await rows(page).first().waitFor();
    await page.waitForTimeout(200);
    await look("results");
    await page.getByText("Export all", { exact: true }).click();
    await look("export");
    for (const format of ["NDJSON", "CSV", "Parquet"]) check(await page.getByRole("link", { name: format, exact: true }).isVisible(), `no ${format} is offered`);
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "NDJSON", exact: true }).click()]);
    let text = "";
    for await (const chunk of await file.createReadStream()) text += chunk;
    const { statement } = JSON.parse(text.trimEnd().split("\n").at(-1));
    check(statement && statement.records === text.trimEnd().split("\n").length - 1, `the export's statement is not of its records: ${JSON.stringify(statement)}`);
    await page.getByText("Export all", { exact: true }).click();
    const older = page.getByRole("button", { name: "Older" });
    if (await older.isVisible()) {
      const first = await rows(page).first().innerText();
      await older.click();
      await at(page, /cursor=/);
      await page.waitForFunction((text) => !document.querySelector(".dim") && document.querySelector("table.hits tbody tr")?.innerText !== text, first);
      await page.goBack();
      await at(page, /^(?!.*cursor=)/);
    }
    const tail = page.getByRole("button", { name: "Live tail" });
    await tail.click();
    check(path(page).includes("tail=1"), "the live tail is not in the address");
    await page.waitForResponse((r) => r.url().includes("/api/v1/records?"));
    await page.getByRole("button", { name: /pause/ }).click();
    // A sealed row that has a trace: what follows needs evidence.
    const list = await api(`/records?limit=1000${state.query.startsWith("type:") ? `&event_type=${state.query.slice(5)}` : ""}`);
    const hit = list.records.findLast((r) => r.sealed && r.trace_id) ?? list.records.findLast((r) => r.trace_id);
    check(hit, "no record with a trace was found");
    state.hit = hit;
    await box.fill(hit.trace_id);
    await box.press("Enter");
    // An id that is only a trace's is opened; another is answered by role first.
    const grid = page.getByRole("treegrid", { name: "Hops by stage and service" });
    const answer = page.locator(".role");
    await grid.or(answer.first()).first().waitFor();
    await page.waitForTimeout(100);
    if (await answer.count() > 0) await page.getByRole("link", { name: "Open the trace" }).first().click();
    await grid.waitFor();
    await at(page, /^\/trace\//);
  },

  /** The waterfall, its groups, the panel with what changed and why it is known. */
  async trace({ page, base, api, check, look, state }) {
    const trace = await api(`/traces/${state.hit.trace_id}?diffs=true`);
    state.trace = trace;
    await page.goto(`${base}/trace/${state.hit.trace_id}`);
    const grid = page.getByRole("treegrid", { name: "Hops by stage and service" });
    await grid.waitFor();
    check((await page.getByRole("heading", { level: 1 }).innerText()).includes(trace.trace_id), "the heading does not name the trace");
    for (const service of trace.services) check(await grid.getByText(service, { exact: true }).count() > 0, `${service} is not in the waterfall`);
    await page.waitForFunction(() => [...document.querySelectorAll(".wf-what")].slice(1).some((e) => e.textContent));
    await look("trace");
    const verdict = await api(`/verdict?trace_id=${trace.trace_id}`);
    const line = page.locator(".verdict > summary");
    await line.waitFor();
    check((await line.innerText()).startsWith(verdict.complete ? "Complete" : "Not complete"), "the verdict of the trace is not the API's");
    await line.click();
    await look("verdict");
    await line.click();
    const before = await grid.getByRole("row").count();
    await page.keyboard.press("]");
    await page.waitForFunction((n) => document.querySelectorAll("[role=treegrid] [role=row]").length >= n, Math.max(before, trace.hops.length + 1));
    await page.keyboard.press("[");
    await page.waitForFunction((n) => document.querySelectorAll("[role=treegrid] [role=row]").length === n, before);

    const changed = trace.hops.findIndex((h) => h.diff?.comparable && h.diff.changes.some((c) => !c.envelope));
    check(changed >= 0, "no hop of the trace has a diff");
    const hop = trace.hops[changed];
    await page.goto(`${base}/trace/${trace.trace_id}?hop=${place(hop.coordinates)}`);
    const panel = page.getByRole("complementary", { name: "The selected hop" });
    await panel.waitFor();
    await panel.locator(".changes li").first().waitFor();
    const own = hop.diff.changes.filter((c) => !c.envelope);
    check(await panel.locator(".op .changes li").count() === own.length, "the panel does not list every change");
    check((await panel.innerText()).includes("Compared with"), "the panel does not say what the hop is compared with");
    await look("diff");
    await page.keyboard.press("e");
    await panel.getByText("Came from").waitFor();
    check(/Declared|Inferred, \d+ %/.test(await panel.innerText()), "an edge does not say whether it is a fact");
    await look("edges");
    await page.keyboard.press("p");
    await panel.locator(".payload").waitFor();
    await page.keyboard.press("h");
    await panel.getByRole("table", { name: "Headers" }).or(panel.getByText("No headers.")).first().waitFor();
    // One field of the change, followed along the path of the hop, and through the whole trace.
    await page.keyboard.press("d");
    await panel.locator(".op .changes li .path button").first().click();
    await at(page, /tab=field/);
    const pointer = new URL(page.url()).searchParams.get("field");
    check(own.some((c) => c.path === pointer), `${pointer} is not followed as the JSON Pointer of a change`);
    const history = await api(`/traces/${trace.trace_id}/field?pointer=${encodeURIComponent(pointer)}`);
    await panel.locator(".edge-list li").first().waitFor();
    const along = await panel.locator(".edge-list li").count();
    check(along > 1 && along <= history.steps.length, `the path of the hop has ${along} steps, the trace ${history.steps.length}`);
    check(/\d+ of \d+ hops? changed it/.test(await panel.innerText()), "the panel does not say how many hops changed the field");
    await look("field");
    if (along < history.steps.length) {
      await panel.getByRole("button", { name: /^All \d+ hops$/ }).click();
      await at(page, /of=all/);
      check(await panel.locator(".edge-list li").count() === history.steps.length, "the field is not followed through every hop");
    }
    const box = panel.getByRole("textbox", { name: "JSON Pointer of the field" });
    await box.fill("no/such");
    await box.press("Enter");
    await panel.getByText("0 of", { exact: false }).waitFor();
    check(new URL(page.url()).searchParams.get("field") === "/no/such", "what is typed is not followed as a pointer");
    await page.locator("main").focus();
    await page.keyboard.press("d");
    await page.keyboard.press("u");
    await page.waitForFunction((old) => new URLSearchParams(location.search).get("hop") !== old, place(hop.coordinates));
    await page.keyboard.press("Escape");
    await panel.waitFor({ state: "detached" });
  },

  /** The same trace as a graph, a table and JSON, and with facts only. */
  async views({ page, base, check, look, state, api }) {
    const { trace } = state;
    await page.goto(`${base}/trace/${trace.trace_id}`);
    await page.getByRole("treegrid").waitFor();
    await page.keyboard.press("2");
    await page.locator(".graph .node").first().waitFor();
    check(await page.locator(".graph path.edge").count() > 2, "the graph has no edges");
    const inferred = trace.edges.some((e) => !e.declared);
    const dashed = page.locator(".graph > svg path.edge.inferred");
    check((await dashed.count() > 0) === inferred, `inferred edges are ${inferred ? "" : "not "}in the trace, and the graph shows otherwise`);
    await look("graph");
    await page.keyboard.press("f");
    await at(page, /facts=1/);
    await dashed.first().waitFor({ state: "detached" });
    const facts = await api(`/traces/${trace.trace_id}?facts_only=true`);
    check(facts.edges.every((e) => e.declared), "facts only has inferred edges");
    await page.keyboard.press("f");
    await page.keyboard.press("3");
    await page.getByRole("grid", { name: "Hops in causal order" }).waitFor();
    check(await page.locator("table tbody tr").count() === trace.hops.length, "the table does not have every hop");
    await look("table");
    await page.keyboard.press("4");
    await page.locator(".json").waitFor();
    check((await page.locator(".json").innerText()).includes(trace.trace_id), "the JSON does not hold the trace");
  },

  /** One record with everything, and its exact bytes. */
  async record({ page, base, api, check, look, state }) {
    const c = state.hit.coordinates;
    const record = await api(`/records/${c.topic}/${c.partition}/${c.offset}`);
    await page.goto(base);
    const box = page.getByRole("combobox", { name: /Search/ });
    await box.fill(place(c));
    await box.press("Enter");
    await at(page, /^\/record\//);
    await page.getByRole("heading", { name: "Value", exact: true }).waitFor();
    const text = await page.locator("main").innerText();
    for (const [what, value] of [["event id", record.event_id], ["trace", record.trace_id], ["source", record.source], ["type", record.event_type]]) check(text.includes(value), `the record page lacks its ${what}`);
    for (const h of record.headers) check(text.includes(h.name), `header ${h.name} is missing`);
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download raw" }).click()]);
    let size = 0;
    for await (const chunk of await download.createReadStream()) size += chunk.length;
    check(size === record.value.size, `the download has ${size} bytes, the value ${record.value.size}`);
    await look("record");
    // An event's id is answered by role, unless it can only be one trace.
    await box.fill(record.event_id);
    await box.press("Enter");
    await page.getByRole("heading", { name: /is$/ }).waitFor();
    await page.locator(".role").first().waitFor();
    await look("identify");
  },

  /** Plan, run, receipt. The target is new in each theme. */
  async replay({ page, base, check, look, state, scheme }) {
    await page.goto(`${base}/trace/${state.hit.trace_id}`);
    await page.getByRole("link", { name: "Replay", exact: true }).click();
    await at(page, /^\/replays\/new/);
    check(await page.getByLabel("Trace id").inputValue() === state.hit.trace_id, "the form does not take the trace over");
    await page.getByText("Targets", { exact: true }).click();
    await page.getByLabel("Target topics").fill(`walk.${scheme}.${Date.now().toString(36)}.`);
    await page.getByRole("button", { name: "Plan", exact: true }).click();
    await page.getByRole("heading", { name: "The plan" }).waitFor();
    check(await page.getByRole("table", { name: "Sources and targets" }).locator("tbody tr").count() > 0, "the plan names no topics");
    await look("plan");
    await page.getByRole("button", { name: /^Run: produce/ }).click();
    await at(page, /^\/replays\/[0-9a-f]{64}/);
    await page.getByRole("heading", { name: "Receipt" }).waitFor({ timeout: 60_000 });
    check(await page.getByText("Everything matches.").isVisible(), "the receipt does not match");
    await look("receipt");
    await page.keyboard.press("Escape");
    await page.getByRole("grid", { name: "Replay jobs" }).waitFor();
    await look("replays");
    await page.goto(`${base}/replays/new`);
    await page.getByRole("button", { name: "Plan", exact: true }).click();
    await page.getByText("Enter the trace's id.").waitFor();
  },

  /** Narrow and wide windows hold. */
  async sizes({ page, base, look, state }) {
    for (const [width, height] of [[1100, 700], [2000, 1100]]) {
      await page.setViewportSize({ width, height });
      for (const [name, to] of [["home", "/"], ["trace", `/trace/${state.hit.trace_id}?hop=${place(state.hit.coordinates)}`], ["graph", `/trace/${state.hit.trace_id}?view=graph`], ["topics", "/topics"], ["catalog", "/catalog"], ["anomalies", "/anomalies"]]) {
        await page.goto(base + to);
        await page.locator("table, [role=treegrid], .graph .node").first().waitFor();
        await look(`${name}-${width}`);
      }
    }
    await page.setViewportSize({ width: 1440, height: 900 });
  },
};
