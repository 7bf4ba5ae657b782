// The operators' page. It asks the API with the key that was pasted, and shows what it says.
//
// Whatever comes from the API becomes text, never markup. The key is kept in this tab's session storage and nowhere else.
"use strict";

const KEY = "chargeledger-key";
const POLL_BUSY_MS = 1000;
const POLL_CALM_MS = 5000;
/** A rebuild notes how far it is twice a second: after so long without news nobody may be working on it. */
const SILENT_AFTER_MS = 15000;
/** So long the end of a rebuild is shown among those that run. */
const SHOWN_AFTER_END_MS = 15 * 60000;

const $ = (id) => document.getElementById(id);
const numbers = new Intl.NumberFormat("en-US");
const times = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const count = (n) => numbers.format(n);
const many = (n, one, more = `${one}s`) => `${count(n)} ${n === 1 ? one : more}`;
const when = (text) => times.format(new Date(text));
const words = (text) => text.replaceAll("_", " ");

function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** An element. Names beginning with "on" are listeners; children are elements or text. */
function h(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Draws again only when something has changed, and leaves the focus where it was. */
function redraw(node, now, draw) {
  const signature = JSON.stringify(now);
  if (node.signature === signature) return;
  node.signature = signature;
  const focused = node.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  node.replaceChildren(...[draw()].flat().filter(Boolean));
  if (focused) node.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
}

/** One child for each item, made once and then kept up to date. */
function keyed(parent, items, key, make, update) {
  parent.made ??= new Map();
  const seen = new Set();
  items.forEach((item, at) => {
    const id = key(item);
    seen.add(id);
    if (!parent.made.has(id)) parent.made.set(id, make(item));
    const node = parent.made.get(id);
    update(node, item);
    if (parent.children[at] !== node) parent.insertBefore(node, parent.children[at] ?? null);
  });
  for (const [id, node] of parent.made) {
    if (!seen.has(id)) {
      node.remove();
      parent.made.delete(id);
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------- the API

/** The server cannot be reached. */
class Away extends Error {}
/** The server refused, and says why. */
class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ? `${problem.title}: ${problem.detail}` : (problem.title ?? `The server answered ${status}`));
    this.status = status;
    this.kind = (problem.type ?? "").replace("urn:ledger:problem:", "");
  }
}

let clockSkew = 0;
const serverNow = () => Date.now() + clockSkew;

async function ask(method, path, body) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  let answer;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
    answer = await response.json().catch(() => ({}));
  } catch {
    throw new Away();
  }
  const date = Date.parse(response.headers.get("date") ?? "");
  if (date) clockSkew = date - Date.now();
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

const of = (name) => `/v1/projections/${encodeURIComponent(name)}`;

// ---------------------------------------------------------------------------------------------------------------- what is known

let known = null;
let quarantined = [];
let quotes = new Map();
/** Unknown until the server has answered. */
let isAdmin = null;
let timer = 0;
let asking = false;
let again = false;

const PHASES = [
  ["replaying", "Replay"], ["indexing", "Index"], ["catching_up", "Catch up"], ["accounting", "Account"], ["comparing", "Compare"],
];
const OVER = new Set(["ready", "swapped", "cancelled"]);
const isWorking = (job) => PHASES.some(([phase]) => phase === job.phase) && job.wanted === "run";
const isSilent = (job) => isWorking(job) && job.updated_at && serverNow() - Date.parse(job.updated_at) > SILENT_AFTER_MS;

/** The rebuilds that there is something to say about, with the read model that each belongs to. */
function rebuilds() {
  const found = [];
  for (const model of known?.items ?? []) {
    const jobs = [model.rebuild, ...(model.builds ?? []).map((build) => build.rebuild)].filter(Boolean);
    for (const job of jobs) {
      const waits = (model.builds ?? []).some((build) => build.name === job.name && build.number === job.build && build.state === "filling");
      const isFresh = job.updated_at && serverNow() - Date.parse(job.updated_at) < SHOWN_AFTER_END_MS;
      if (!OVER.has(job.phase) || (job.phase === "ready" && waits) || isFresh) found.push({ model, job, id: `${job.name} ${job.build}` });
    }
  }
  return found;
}

async function poll() {
  clearTimeout(timer);
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    isAdmin ??= await mayAct();
    $("watching").hidden = isAdmin;
    const [list, stepped] = await Promise.all([ask("GET", "/v1/projections"), ask("GET", "/v1/projections/quarantined")]);
    known = list;
    quarantined = stepped.items;
    await quoteHalts();
    banner(known.items.some((model) => !model.builds) ? "The read models' database cannot be reached. Commands go on; rebuilds wait." : "");
    $("pulse").classList.remove("away");
    $("desk").classList.remove("stale");
    draw();
  } catch (error) {
    if (!failed(error)) return;
  } finally {
    asking = false;
  }
  const isBusy = rebuilds().some(({ job }) => isWorking(job)) || known?.items.some((model) => model.lag_events > 0 && model.state !== "halted");
  if (!sessionStorage.getItem(KEY) || (document.hidden && !again)) return;
  timer = setTimeout(poll, again ? 0 : isBusy ? POLL_BUSY_MS : POLL_CALM_MS);
  again = false;
}

/** Says what is the matter; whether it is worth asking again. */
function failed(error) {
  if (error instanceof Refused && error.status === 401) {
    leave("This key is unknown, or has been revoked.");
    return false;
  }
  if (error instanceof Refused && error.status === 403) {
    leave("This key may not look at read models. Take one of role operator or admin.");
    return false;
  }
  const text = error instanceof Away ? "The server does not answer. Trying again…" : error.message;
  if (!(error instanceof Away) && !(error instanceof Refused)) console.error(error);
  banner(text, true);
  $("pulse").classList.add("away");
  if (known) $("desk").classList.add("stale");
  return true;
}

/** What a halted read model's event says is shown to an admin of its operator only. */
async function quoteHalts() {
  const halted = known.items.filter((model) => model.halted_at);
  const next = new Map();
  for (const model of halted) {
    const id = `${model.name} ${model.halted_at.position}`;
    next.set(id, quotes.get(id) ?? (await ask("GET", of(model.name))).halted_at ?? model.halted_at);
  }
  quotes = next;
}

function banner(text, isBad = false) {
  put($("banner"), text);
  $("banner").hidden = !text;
  $("banner").classList.toggle("bad", isBad);
}

let silence = 0;
function say(text) {
  put($("said"), text);
  clearTimeout(silence);
  silence = setTimeout(() => put($("said"), ""), 6000);
}

// ---------------------------------------------------------------------------------------------------------------- the key

async function enter() {
  $("gate").hidden = true;
  $("leave").hidden = false;
  $("pulse").hidden = false;
  isAdmin = null;
  await poll();
}

/** Whether the key may act: the list of operators is for those who may. */
async function mayAct() {
  try {
    await ask("GET", "/v1/operators");
    return true;
  } catch (error) {
    if (error instanceof Away || (error instanceof Refused && error.status === 401)) throw error;
    return !(error instanceof Refused && error.status === 403);
  }
}

function leave(reason = "") {
  clearTimeout(timer);
  sessionStorage.removeItem(KEY);
  known = null;
  for (const id of ["desk", "leave", "pulse"]) $(id).hidden = true;
  for (const id of ["panel", "ask"]) $(id).close();
  banner("");
  $("gate").hidden = false;
  $("gate-key").value = "";
  put($("gate-error"), reason);
  $("gate-key").focus();
}

$("gate-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $("gate-key").value.trim());
  put($("gate-error"), "");
  enter();
});
$("leave").addEventListener("click", () => leave());

// ---------------------------------------------------------------------------------------------------------------- the desk

const STATES = {
  live: ["good", "At the head"],
  catching_up: ["busy", "Behind the head, and working"],
  rebuilding: ["busy", "Nothing serves yet: the first build is being filled"],
  standby: ["", "Another process keeps it up to date"],
  starting: ["", "Not opened yet"],
  waiting: ["warn", "The database or the log is away; it tries again by itself"],
  outdated: ["warn", "A build of another version serves, until a rebuild takes its place"],
  halted: ["bad", "It met an event that it cannot apply"],
};

function stateOf(model) {
  const [colour, hint] = STATES[model.state] ?? ["", ""];
  return h("span", { class: `state ${colour}`, title: hint }, words(model.state ?? "served"));
}

function draw() {
  $("desk").hidden = false;
  put($("pulse-text"), `as of ${new Date().toLocaleTimeString("en-GB")}`);
  drawSummary();
  keyed($("halts"), known.items.filter((model) => model.halted_at), (model) => model.name, () => h("article", { class: "card bad" }), drawHalt);
  const running = rebuilds();
  $("rebuilds-section").hidden = running.length === 0;
  keyed($("rebuilds"), running, (one) => one.id, makeRebuild, updateRebuild);
  drawRows();
  drawQuarantine();
  if ($("panel").open && $("panel").update) $("panel").update();
}

function drawSummary() {
  const models = known.items;
  const halted = models.filter((model) => model.halted_at).length;
  const live = models.filter((model) => model.state === "live" || model.state === "standby").length;
  const behind = Math.max(0, ...models.map((model) => (model.halted_at ? 0 : model.lag_events) ?? 0));
  const running = rebuilds().filter(({ job }) => isWorking(job) && !isSilent(job)).length;
  const tile = (value, text, colour) => h("div", { class: colour }, h("b", {}, value), h("span", {}, text));
  redraw($("summary"), [models.length, halted, live, behind, running, models[0]?.head], () => [
    tile(`${live} of ${models.length}`, "read models up to date"),
    halted > 0 && tile(count(halted), "halted", "bad"),
    running > 0 && tile(count(running), running === 1 ? "rebuild running" : "rebuilds running", "busy"),
    tile(count(models[0]?.head ?? 0), "last position of the ledger"),
    behind > 0 && tile(count(behind), behind === 1 ? "event behind" : "events behind, at most"),
  ]);
}

function drawRows() {
  const filter = $("filter").value.trim().toLowerCase();
  const shown = known.items.filter((model) => model.name.includes(filter.replaceAll(" ", "_")));
  $("none").hidden = shown.length > 0;
  keyed($("rows"), shown, (model) => model.name, makeRow, updateRow);
}

function makeRow({ name }) {
  const cell = (label, css = "num") => h("td", { class: css, "data-label": label });
  const row = h("tr", {},
    h("td", {}, h("button", { class: "link", type: "button", onclick: () => openPanel(name) }, name)),
    h("td"), cell("position"), cell("lag"), cell("events/s"), cell("build", "num build"), cell("restarts"),
    h("td", {}, h("button", { class: "quiet small", type: "button", "aria-label": `Open ${name}`, onclick: () => openPanel(name) }, "Open")));
  return row;
}

function updateRow(row, model) {
  const [, state, position, lag, rate, build, restarts] = row.children;
  redraw(state, model.state, () => stateOf(model));
  put(position, count(model.position));
  const seconds = model.lag_seconds > 0 ? ` · ${duration(model.lag_seconds)}` : "";
  number(lag, model.lag_events, seconds);
  number(rate, model.events_per_s);
  put(build, model.build ? count(model.build) : "–");
  number(restarts, model.restarts);
  lag.classList.toggle("high", model.lag_events > 10000 || model.state === "halted");
  restarts.classList.toggle("high", model.restarts > 0);
}

function number(cell, value, more = "") {
  put(cell, value === undefined ? "–" : count(value) + (value > 0 ? more : ""));
  cell.classList.toggle("zero", !value);
}

$("filter").addEventListener("input", () => known && drawRows());
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest?.("input, textarea, select, dialog");
  if (event.key === "/" && !isTyping && !$("desk").hidden) {
    event.preventDefault();
    $("filter").focus();
  }
});
document.addEventListener("visibilitychange", () => !document.hidden && sessionStorage.getItem(KEY) && poll());

// ---------------------------------------------------------------------------------------------------------------- halts and what is stepped over

function drawHalt(card, model) {
  const halt = quotes.get(`${model.name} ${model.halted_at.position}`) ?? model.halted_at;
  redraw(card, [halt, isAdmin], () => [
    h("div", { class: "top" },
      h("button", { class: "link", type: "button", onclick: () => openPanel(model.name) }, model.name), stateOf(model),
      h("span", { class: "soft" }, `stands at position ${count(halt.position)}`),
      isAdmin && h("div", { class: "actions" },
        h("button", { type: "button", class: "small", "data-id": "retry", onclick: () => retry(model.name) }, "Try again"),
        h("button", { type: "button", class: "small", "data-id": "step", onclick: () => stepOver(model.name, halt) }, "Step over the event…"))),
    h("p", { class: "wrong" }, halt.error ?? "What is the matter is shown to an admin of the event's operator."),
    h("div", { class: "line" }, h("span", {}, "event ", h("b", {}, halt.event_type)), h("span", { class: "mono" }, halt.event_id)),
    halt.event !== undefined && h("pre", { tabindex: "0", "aria-label": "What the event says" }, JSON.stringify(halt.event, null, 2)),
    h("p", { class: "hint" }, "Everything else goes on. Once what was the matter is mended, let it try again; to go on without the event is for ever."),
  ]);
}

function retry(name) {
  act(() => ask("POST", `${of(name)}/resume`, {}), `${name} tries again`);
}

function stepOver(name, halt) {
  confirm({
    title: `Step over the event at ${count(halt.position)}?`,
    text: [`${name} goes on without ${halt.event_type}, for ever, and so does every later build of it. The decision becomes an event of the ledger, with your reason.`,
      "A view with money in it has a figure missing then, until a correcting command brings it back."],
    name, note: "Why", noteRequired: true, button: "Step over it", grave: true,
    act: (reason) => ask("POST", `${of(name)}/quarantine`, { reason, position: halt.position }),
    done: `${name} goes on without the event`,
  });
}

function drawQuarantine() {
  redraw($("quarantine"), quarantined, () => quarantined.length === 0
    ? h("p", { class: "empty" }, "None. Every read model has every event.")
    : h("div", { class: "scroll" }, h("table", { class: "sheet" },
      h("thead", {}, h("tr", {}, ["Read model", "Position", "Event", "Reason", "Decided"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, quarantined.map((one) => h("tr", {},
        h("td", {}, one.projection), h("td", {}, count(one.position)), h("td", {}, one.event_type),
        h("td", {}, one.reason ?? h("span", { class: "soft" }, "another operator's")),
        h("td", { class: "soft" }, one.decided_at ? when(one.decided_at) : "", one.decided_by ? ` by ${one.decided_by}` : "")))))));
}

// ---------------------------------------------------------------------------------------------------------------- rebuilds

function makeRebuild() {
  const card = h("article", { class: "card" });
  card.parts = {
    top: h("div", { class: "top" }), steps: h("ol", { class: "steps" }), bar: h("progress", { max: "100" }), line: h("div", { class: "line" }), end: h("div"),
  };
  card.append(card.parts.top, card.parts.bar, card.parts.steps, card.parts.line, card.parts.end);
  return card;
}

function updateRebuild(card, { model, job }) {
  const { top, steps, bar, line, end } = card.parts;
  const working = isWorking(job);
  const silent = isSilent(job);
  const isPast = job.name !== model.name;
  const phase = PHASES.findIndex(([name]) => name === job.phase);
  redraw(top, [job.phase, job.wanted, silent, isAdmin, known.swap_approval, serves(model, job)], () => [
    h("button", { class: "link", type: "button", "data-id": "name", onclick: () => openPanel(model.name) }, job.name),
    h("span", { class: "soft" }, isPast ? `view of the past of ${model.name}, up to ${count(job.until)}` : `build ${job.build}`),
    standing(job, silent, model),
    h("div", { class: "actions" }, buttons(model, job, working && !silent, isPast)),
  ]);
  bar.hidden = phase < 0;
  bar.classList.toggle("still", job.wanted === "pause" || silent);
  const isMeasured = job.phase === "replaying" || (job.phase === "catching_up" && job.events_total > 0);
  if (isMeasured || job.wanted === "pause" || silent) bar.value = isMeasured ? job.percent : 100;
  else bar.removeAttribute("value");
  bar.setAttribute("aria-label", `${job.name}: ${words(job.phase)}`);
  steps.hidden = phase < 0;
  redraw(steps, [phase], () => PHASES.map(([, title], at) => h("li", { class: at < phase ? "done" : at === phase ? "now" : null, "aria-current": at === phase ? "step" : null }, title)));
  const figure = (value, unit) => h("span", {}, h("b", {}, value), ` ${unit}`);
  redraw(line, [job.percent, job.events_done, job.events_per_s, job.eta_s, job.rows, job.passes, job.phase, job.wanted, silent], () => [
    phase >= 0 && isMeasured && figure(`${job.percent.toFixed(1)} %`, ""),
    phase >= 0 && isMeasured && figure(count(job.events_done), `of ${many(job.events_total, "event")}`),
    working && !silent && job.events_per_s > 0 && figure(count(job.events_per_s), "events/s"),
    working && !silent && job.eta_s !== undefined && isMeasured && figure(duration(job.eta_s), "left in this phase"),
    phase >= 0 && job.rows > 0 && figure(count(job.rows), "rows written"),
    phase >= 0 && job.passes > 1 && figure(count(job.passes), "readings of the log"),
  ]);
  redraw(end, [job.error, job.account, job.diff, silent], () => [
    silent && h("p", { class: "wrong" }, "Nothing has been heard of it for a while: the process that ran it may be gone. Resume goes on where it was."),
    job.error && job.phase !== "cancelled" && h("p", { class: "wrong" }, job.error),
    (job.account || job.diff) && h("div", { class: "line" },
      job.account && h("span", {}, job.account.complete ? "every event accounted for: " : "NOT every event accounted for: ",
        h("b", {}, count(job.account.applied)), " applied + ", h("b", {}, count(job.account.ignored)), " ignored + ",
        h("b", {}, count(job.account.quarantined)), " stepped over = ", h("b", {}, count(job.account.events))),
      job.diff && h("span", {}, difference(job.diff))),
  ]);
}

const serves = (model, job) => (model.builds ?? []).some((build) => build.name === job.name && build.number === job.build && build.state === "serving");

function standing(job, silent, model) {
  const state = (colour, text) => h("span", { class: `state ${colour}` }, text);
  if (job.wanted === "cancel" && !OVER.has(job.phase)) return state("warn", "being cancelled");
  if (silent) return state("warn", "no news");
  if (job.wanted === "pause" && !OVER.has(job.phase)) return state("warn", "paused");
  switch (job.phase) {
    case "failed": return state("bad", "could not go on");
    case "awaiting_approval": return state("warn", "waits for approval");
    case "ready": return state("good", "ready");
    case "swapped": return serves(model, job) ? state("good", "serves") : state("", "served before");
    case "cancelled": return state("", "cancelled");
    default: return state("busy", words(job.phase));
  }
}

function difference(diff) {
  const parts = [[diff.changed, "changed"], [diff.only_here, "only in the new build"], [diff.only_there, "only in the old one"]].filter(([n]) => n > 0);
  if (parts.length === 0) return "no row differs";
  return parts.map(([n, text]) => `${many(n, "row")} ${text}`).join(", ");
}

function buttons(model, job, isRunning, isPast) {
  const button = (id, text, onclick, css) => h("button", { type: "button", "data-id": id, class: css ?? "small", onclick }, text);
  const name = job.name;
  const order = (what, text) => () => act(() => ask("POST", `${of(name)}/rebuild/${what}`, {}), text);
  const compare = job.diff && isAdmin && button("diff", "Difference", () => openDiff(model.name, "", name));
  const cancel = (text) => button("cancel", text, () => confirm({
    title: `Give the rebuild of ${name} up?`, text: ["What was filled is dropped. The build that serves stays as it is."],
    button: "Give it up", grave: true, act: () => ask("POST", `${of(name)}/rebuild/cancel`, {}), done: `The rebuild of ${name} ends`,
  }));
  if (!isAdmin) return [];
  if (isRunning) return [button("pause", "Pause", order("pause", `${name} is paused`)), cancel("Cancel…")];
  switch (job.phase) {
    case "awaiting_approval":
      return [compare, button("swap", "Swap in…", () => swapIn(model, job), "small main"), cancel("Give up…")];
    case "ready":
      return isPast
        ? [button("diff", "Difference", () => openDiff(model.name, `?as_of=${encodeURIComponent(name)}`, name)), button("drop", "Drop…", () => dropBuild(name, job.build))]
        : [compare, button("swap", "Swap in…", () => swapIn(model, job), "small main"), button("drop", "Drop…", () => dropBuild(name, job.build))];
    case "swapped":
      return [compare, serves(model, job) && button("back", "Go back…", () => goBack(model))];
    case "cancelled":
      return [];
    default:
      return [button("resume", "Resume", order("resume", `${name} goes on`), "small main"), cancel("Cancel…")];
  }
}

function swapIn(model, job) {
  const change = job.diff ? `Against the build that serves: ${difference(job.diff)}.` : "";
  confirm({
    title: `Let build ${job.build} serve ${model.name}?`,
    text: ["It catches up, is accounted for, and takes its place in one transaction; nobody who reads notices. The build before it is kept for the way back.", change],
    name: model.name, note: known.swap_approval ? "Why the difference is right" : "Note (with one, your approval becomes an event)",
    noteRequired: known.swap_approval, button: "Swap in",
    act: (note) => ask("POST", `${of(model.name)}/swap`, note ? { build: job.build, note } : { build: job.build }),
    done: `Build ${job.build} of ${model.name} serves`,
  });
}

const kept = (model) => (model.builds ?? []).filter((build) => build.name === model.name && build.state === "retired").sort((a, b) => b.number - a.number)[0];

function goBack(model) {
  const build = kept(model);
  if (!build) return say(`No build that served before is kept of ${model.name}`);
  const isFrozen = build.version !== model.version;
  confirm({
    title: `Go back to build ${build.number} of ${model.name}?`,
    text: [isFrozen
      ? `It was filled by version ${build.version} of the fold, which this server does not have: it is served as it was left, at position ${count(build.position)}.`
      : "It is caught up, accounted for, and takes its place in one transaction.",
    "It stays until somebody swaps another build in; the one that serves now is kept."],
    name: model.name, button: "Go back", grave: true,
    act: () => ask("POST", `${of(model.name)}/rollback`, { build: build.number }), done: `Build ${build.number} of ${model.name} serves again`,
  });
}

function dropBuild(name, number) {
  confirm({
    title: `Drop build ${number} of ${name}?`, text: ["Its rows are gone then. The ledger has everything to make it again."],
    name, button: "Drop it", grave: true, act: () => ask("DELETE", `${of(name)}/builds/${number}`), done: `Build ${number} of ${name} is dropped`,
  });
}

// ---------------------------------------------------------------------------------------------------------------- dialogs

/** Gives an order, says how it went, and looks again at once. */
async function act(order, done) {
  try {
    await order();
    say(done);
  } catch (error) {
    say(error instanceof Away ? "The server does not answer: nothing is known of what became of it" : error.message);
  }
  poll();
}

function titled(dialog, id, title, ...rest) {
  dialog.update = null;
  dialog.classList.remove("wide");
  const close = h("button", { class: "quiet", type: "button", onclick: () => dialog.close(), "aria-label": "Close" }, "Close");
  const sheet = h("div", { class: "dialog" }, h("header", {}, h("h2", { id }, title), close), ...rest);
  dialog.replaceChildren(sheet);
  if (!dialog.open) dialog.showModal();
  return sheet;
}

/** Asks before it acts. With `name`, that has to be typed. */
function confirm({ title, text, name, note, noteRequired, button, grave, act: order, done }) {
  const dialog = $("ask");
  const wrong = h("p", { class: "wrong", role: "alert" });
  const typed = name && h("input", { id: "ask-name", autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  const words = note && h("textarea", { id: "ask-note", rows: "2", maxlength: "500", required: noteRequired });
  const go = h("button", { class: grave ? "grave" : "main", type: "submit" }, button);
  const check = () => {
    go.disabled = (name && typed.value.trim() !== name) || (noteRequired && !words.value.trim());
  };
  const form = h("form", {
    oninput: check,
    onsubmit: async (event) => {
      event.preventDefault();
      go.disabled = true;
      put(wrong, "");
      try {
        await order(words?.value.trim().replace(/\s+/g, " "));
        dialog.close();
        say(done);
        poll();
      } catch (error) {
        put(wrong, error instanceof Away ? "The server does not answer." : error.message);
        check();
      }
    },
  },
  text.filter(Boolean).map((line) => h("p", {}, line)),
  h("div", { class: "fields" },
    note && h("div", { class: "all" }, h("label", { for: "ask-note" }, note), words),
    name && h("div", { class: "all" }, h("label", { for: "ask-name" }, "Type ", h("code", {}, name), " to confirm"), typed)),
  wrong,
  h("div", { class: "actions end" }, h("button", { type: "button", onclick: () => dialog.close() }, "Leave it"), go));
  titled(dialog, "ask-title", title, form).querySelector("header button").remove();
  check();
  (words ?? typed ?? go).focus();
}

function openPanel(name) {
  const dialog = $("panel");
  const facts = h("dl", { class: "facts" });
  const actions = h("div", { class: "actions" });
  const builds = h("div");
  const label = h("span");
  const sheet = titled(dialog, "panel-title", name, actions, h("h3", {}, "How it is"), facts, h("h3", {}, "Builds"), builds);
  dialog.classList.add("wide");
  sheet.querySelector("h2").after(label);
  dialog.update = () => {
    const model = known.items.find((one) => one.name === name);
    if (!model) return dialog.close();
    redraw(label, model.state, () => stateOf(model));
    const fact = (title, value) => [h("div", {}, h("dt", {}, title), h("dd", {}, value ?? "–"))];
    const figure = (value) => (value === undefined ? "–" : count(value));
    redraw(facts, { ...model, builds: 0, rebuild: 0 }, () => [
      fact("Position", `${count(model.position)} of ${count(model.head)}`),
      fact("Lag", model.lag_events === undefined ? "–" : many(model.lag_events, "event") + (model.lag_seconds > 0 ? `, ${duration(model.lag_seconds)}` : "")),
      fact("Rate", model.events_per_s === undefined ? "–" : `${count(model.events_per_s)} events/s`),
      fact("Events applied", figure(model.applied)), fact("Not of its types", figure(model.ignored)), fact("Stepped over", figure(model.quarantined)),
      fact("Version of the fold", figure(model.version)), fact("Build", figure(model.build)), fact("Restarts", figure(model.restarts)),
    ].flat());
    const job = model.rebuild;
    const isRunning = job && !OVER.has(job.phase);
    redraw(actions, [isAdmin, job?.phase, job?.wanted, kept(model)?.number], () => {
      if (!isAdmin) return h("span", { class: "soft" }, "A key of role admin may rebuild it.");
      const button = (id, text, onclick, isOff) => h("button", { type: "button", "data-id": id, disabled: isOff, onclick, class: id === "rebuild" ? "main" : null }, text);
      return [
        button("rebuild", "Rebuild…", () => askRebuild(model), isRunning),
        button("diff", "Compare builds", () => openDiff(name, ""), !job?.diff && !kept(model)),
        button("back", "Go back…", () => goBack(model), !kept(model)),
        button("repair", "Repair a row…", () => askRepair(name)),
      ];
    });
    redraw(builds, [model.builds, isAdmin], () => h("div", { class: "scroll" }, h("table", { class: "sheet" },
      h("thead", {}, h("tr", {}, ["Build", "State", "Version", "Position", ""].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, (model.builds ?? []).map((build) => buildRow(model, build))))));
  };
  dialog.update();
}

const BUILD_STATES = { serving: ["good", "serving"], filling: ["busy", "being filled"], retired: ["", "kept"], as_of: ["", "view of the past"] };

function buildRow(model, build) {
  const [colour, text] = BUILD_STATES[build.state] ?? ["", build.state];
  const button = (id, label, onclick) => h("button", { type: "button", class: "quiet small", "data-id": `${id} ${build.name} ${build.number}`, onclick }, label);
  const query = build.state === "as_of" ? `?as_of=${encodeURIComponent(build.name)}` : `?against=${build.number}`;
  const canCompare = isAdmin && build.state !== "serving" && build.position > 0;
  return h("tr", {},
    h("td", {}, build.name === model.name ? `${build.number}` : `${build.name} ${build.number}`),
    h("td", {}, h("span", { class: `state ${colour}` }, text), build.pinned ? " pinned" : ""),
    h("td", {}, count(build.version)), h("td", {}, count(build.position)),
    h("td", { class: "num" },
      canCompare && button("diff", "Compare with what serves", () => openDiff(model.name, query)),
      isAdmin && build.state !== "serving" && button("drop", "Drop…", () => dropBuild(build.name, build.number))));
}

function askRebuild(model) {
  const dialog = $("ask");
  const wrong = h("p", { class: "wrong", role: "alert" });
  const input = (id, attributes) => h("input", { id, autocomplete: "off", ...attributes });
  const field = (id, label, control, hint, css) => h("div", { class: css }, h("label", { for: id }, label), control, hint && h("p", { class: "hint" }, hint));
  const cores = input("rb-cores", { type: "number", min: "1", max: "256", placeholder: "all" });
  const rows = input("rb-rows", { type: "number", min: "1", placeholder: "no limit" });
  const memory = input("rb-memory", { type: "number", min: "16", max: "65536", placeholder: "384" });
  const option = (value, text) => h("option", { value }, text);
  const finish = h("select", { id: "rb-finish" },
    option("approve", "Swap it in if nothing differs; else wait for me"), !known.swap_approval && option("swap", "Swap it in"), option("keep", "Keep it beside the one that serves"));
  const until = input("rb-until", { placeholder: "a position, or 2026-03-01T08:00:00+08:00" });
  const view = input("rb-as", { placeholder: `${model.name}_before`, pattern: "[a-z][a-z0-9_]{0,39}", spellcheck: "false" });
  const go = h("button", { class: "main", type: "submit" }, "Start");
  const form = h("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      const body = {};
      if (cores.value) body.cores = Number(cores.value);
      if (rows.value) body.max_db_rows_per_s = Number(rows.value);
      if (memory.value) body.memory_mb = Number(memory.value);
      const past = until.value.trim();
      if (past || view.value.trim()) {
        if (past) body.until = /^\d+$/.test(past) ? Number(past) : past;
        if (view.value.trim()) body.as = view.value.trim();
      } else {
        body.finish = finish.value;
      }
      go.disabled = true;
      put(wrong, "");
      try {
        await ask("POST", `${of(model.name)}/rebuild`, body);
        dialog.close();
        $("panel").close();
        say(`The rebuild of ${model.name} begins`);
        poll();
        $("rebuilds-title").scrollIntoView({ block: "center" });
      } catch (error) {
        put(wrong, error instanceof Away ? "The server does not answer." : error.message);
      }
      go.disabled = false;
    },
  },
  h("p", {}, "A new build is filled from the ledger beside the one that serves, counted against it, and compared. Nobody who reads notices."),
  h("div", { class: "fields" },
    field("rb-finish", "When it is ready", finish, null, "all"),
    field("rb-cores", "Cores", cores, "threads that read and fold"),
    field("rb-rows", "Rows a second, at most", rows, "so that it does not starve what serves"),
    h("details", {}, h("summary", {}, "Memory, and views of the past"), h("div", { class: "fields" },
      field("rb-memory", "Memory in MB, about", memory), h("div"),
      field("rb-until", "As it was at", until, "a view of the past, beside this one"),
      field("rb-as", "Under the name", view, "it stands in schema read")))),
  wrong,
  h("div", { class: "actions end" }, h("button", { type: "button", onclick: () => dialog.close() }, "Leave it"), go));
  titled(dialog, "ask-title", `Rebuild ${model.name}`, form).querySelector("header button").remove();
  finish.focus();
}

function askRepair(name) {
  const dialog = $("ask");
  const wrong = h("p", { class: "wrong", role: "alert" });
  const key = h("input", { id: "rp-key", autocomplete: "off", spellcheck: "false", required: true });
  const found = h("div");
  const repair = async (dryRun) => {
    put(wrong, "");
    try {
      const answer = await ask("POST", `${of(name)}/repair`, { key: key.value.trim(), dry_run: dryRun });
      redraw(found, [answer], () => repaired(answer, () => repair(false)));
    } catch (error) {
      put(wrong, error instanceof Away ? "The server does not answer." : error.message);
    }
  };
  titled(dialog, "ask-title", `Repair a row of ${name}`,
    h("form", { onsubmit: (event) => { event.preventDefault(); repair(true); } },
      h("p", {}, "The row of one key is folded again from its events, and compared with the one that is served."),
      h("div", { class: "fields" }, h("div", { class: "all" }, h("label", { for: "rp-key" }, "Key"),
        h("div", { class: "row" }, key, h("button", { type: "submit" }, "Look")), h("p", { class: "hint" }, "several parts with commas between"))),
      wrong, found));
  key.focus();
}

function repaired(answer, write) {
  const rows = Object.entries(answer.cells ?? {});
  const verdict = answer.was_right ? (answer.was_there ? "The row is right." : "There is no such row, and no event that would make one.")
    : answer.written ? "It was wrong, and is put right." : "It is not as its events make it.";
  return [
    h("p", { class: "verdict" }, h("b", {}, verdict), ` ${many(answer.events, "event")} up to ${count(answer.position)}.`),
    rows.length > 0 && h("div", { class: "sample" }, sides(rows.map(([cell, { here, there }]) => [cell, there, here]), "was there", "belongs there")),
    !answer.was_right && answer.cells === undefined && h("p", { class: "soft" }, "The row is another operator's: its cells are not shown."),
    !answer.was_right && !answer.written && h("div", { class: "actions end" }, h("button", { class: "main", type: "button", onclick: write }, "Put it right")),
  ];
}

// ---------------------------------------------------------------------------------------------------------------- differences

async function openDiff(name, query, title = name) {
  const dialog = $("panel");
  const sheet = titled(dialog, "panel-title", `${title}: what differs`, h("p", { class: "soft" }, "Comparing…"));
  dialog.classList.add("wide");
  try {
    const diff = await ask("GET", `${of(name)}/diff${query}`);
    sheet.replaceChildren(sheet.firstChild, ...drawDiff(diff).flat().filter(Boolean));
  } catch (error) {
    sheet.replaceChildren(sheet.firstChild, h("p", { class: "wrong" }, error instanceof Away ? "The server does not answer." : error.message));
  }
}

const build = (table) => table.replace(/__b(\d+)$/, " build $1");

/** What to call the two sides: here and there. */
function sidesOf(diff) {
  const [here, there] = [diff.here, diff.there].map((table) => /^(.*)__b(\d+)$/.exec(table) ?? [table, table, "0"]);
  if (here[1] !== there[1]) return ["now", "then"];
  return Number(here[2]) > Number(there[2]) ? ["new", "old"] : ["serving", `build ${there[2]}`];
}

function drawDiff(diff) {
  const { rows } = diff;
  const [here, there] = sidesOf(diff);
  const differing = rows.changed + rows.only_here + rows.only_there;
  const tile = (n, text, isMatter) => h("div", { class: isMatter && n > 0 ? "some" : null }, h("b", {}, count(n)), h("span", {}, text));
  const most = Math.max(1, ...Object.values(diff.fields));
  const columns = [...diff.columns_only_here.map((column) => [column, here]), ...diff.columns_only_there.map((column) => [column, there])];
  return [
    h("p", { class: "soft" }, h("b", {}, build(diff.here)), ` (${here}) at position ${count(diff.here_position)}, against `, h("b", {}, build(diff.there)), ` (${there}) at ${count(diff.there_position)}`),
    h("h3", {}, "Rows"),
    h("div", { class: "counts" }, tile(rows.same, "the same"), tile(rows.changed, "changed", true), tile(rows.only_here, `only ${here}`, true),
      tile(rows.only_there, `only ${there}`, true), rows.not_compared > 0 && tile(rows.not_compared, "changed since, not compared")),
    differing === 0 && columns.length === 0 && h("p", { class: "note" }, h("br"), "Nothing differs."),
    columns.length > 0 && [h("h3", {}, "Columns that only one has"), h("p", {}, columns.map(([column, side], at) => [at > 0 && ", ", h("code", {}, column), ` (${side})`]))],
    most > 0 && Object.keys(diff.fields).length > 0 && [h("h3", {}, "Cells that changed"),
      Object.entries(diff.fields).sort(([, a], [, b]) => b - a).map(([field, n]) =>
        h("div", { class: "field" }, h("code", {}, field), h("progress", { max: most, value: n, "aria-label": field }), h("span", {}, many(n, "row"))))],
    drawMoney(diff, here, there),
    (diff.samples.length > 0 || diff.samples_withheld > 0) && h("h3", {}, "Some of the rows"),
    diff.samples.map((sample) => drawSample(sample, here, there)),
    diff.samples_withheld > 0 && h("p", { class: "soft" }, `${many(diff.samples_withheld, "more row")} of other operators not shown.`),
  ].flat();
}

const FEW_SUMS = 8;

function drawMoney(diff, nameHere, nameThere) {
  const { totals } = diff;
  if (totals.length === 0 && diff.totals_withheld === 0) return null;
  const row = ({ operator_id, day, column, there, here }, css) => {
    const change = here - there;
    return h("tr", { class: css }, h("td", { class: "mono soft", title: operator_id ?? "" }, operator_id?.slice(0, 8) ?? ""), h("td", {}, day ?? "–"),
      h("td", {}, h("code", {}, column)), h("td", { class: "num" }, yuan(there)), h("td", { class: "num" }, yuan(here)),
      h("td", { class: `num ${change < 0n ? "minus" : "plus"}` }, (change < 0n ? "" : "+") + yuan(change)));
  };
  const each = totals.map((total) => ({ ...total, here: fen(total.here_yuan), there: fen(total.there_yuan) }));
  const all = [...new Set(totals.map((total) => total.column))].map((column) => {
    const mine = each.filter((total) => total.column === column);
    const sum = (side) => mine.reduce((so_far, total) => so_far + total[side], 0n);
    return { column, day: "all days", here: sum("here"), there: sum("there") };
  });
  const body = h("tbody", {}, all.map((one) => row(one, "sum")), each.slice(0, FEW_SUMS).map((one) => row(one)));
  const more = h("button", { class: "small more", type: "button", onclick: () => {
    body.append(...each.slice(FEW_SUMS).map((one) => row(one)));
    more.remove();
  } }, `Show all ${count(each.length)} sums`);
  return [
    h("h3", {}, "Money that differs, by operator and day, in yuan"),
    totals.length > 0 && h("div", { class: "scroll" }, h("table", { class: "sheet money" },
      h("thead", {}, h("tr", {}, h("th", {}, "Operator"), h("th", {}, "Day"), h("th", {}, "Sum of"), h("th", { class: "num" }, nameThere), h("th", { class: "num" }, nameHere), h("th", { class: "num" }, "Difference"))),
      body)),
    each.length > FEW_SUMS && more,
    diff.totals_withheld > 0 && h("p", { class: "soft" }, `${many(diff.totals_withheld, "sum")} of other operators not shown.`),
  ];
}

/** Yuan as whole fen, so that no sum is rounded. */
function fen(text) {
  const [whole, cents = ""] = text.replace("-", "").split(".");
  const value = BigInt(whole) * 100n + BigInt(cents.padEnd(2, "0").slice(0, 2));
  return text.startsWith("-") ? -value : value;
}

function yuan(value) {
  const size = value < 0n ? -value : value;
  return `${value < 0n ? "−" : ""}${count(size / 100n)}.${String(size % 100n).padStart(2, "0")}`;
}

function drawSample({ key, here, there }, nameHere, nameThere) {
  const kind = here && there ? "changed" : `only ${here ? nameHere : nameThere}`;
  const cells = [...new Set([...Object.keys(there ?? {}), ...Object.keys(here ?? {})])];
  const rows = cells.map((cell) => [cell, there ? there[cell] : undefined, here ? here[cell] : undefined]);
  const isWhole = !here || !there;
  const shown = isWhole ? rows.filter(([, old, now]) => (old ?? now) !== null) : rows;
  return h("div", { class: "sample" },
    h("div", { class: "key" }, Object.entries(key).map(([column, value]) => h("span", {}, h("span", { class: "soft" }, `${column} `), h("span", { class: "mono" }, String(value)))), h("em", {}, kind)),
    isWhole ? h("details", {}, h("summary", { class: "key" }, many(shown.length, "cell")), sides(shown, nameThere, nameHere)) : sides(shown, nameThere, nameHere));
}

function sides(rows, old, now) {
  const cell = (value, css) => h("td", { class: `mono ${css}` }, value === undefined ? "" : value === null ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));
  return h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "cell"), h("th", {}, old), h("th", {}, now))),
    h("tbody", {}, rows.map(([name, there, here]) => h("tr", {}, h("td", {}, h("code", {}, name)), cell(there, "old"), cell(here, "new")))));
}

for (const dialog of [$("panel"), $("ask")]) {
  dialog.addEventListener("close", () => { dialog.update = null; });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

if (sessionStorage.getItem(KEY)) enter();
else $("gate").hidden = false;
if (!$("gate").hidden) $("gate-key").focus();
