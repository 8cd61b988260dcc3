// Events: the newest first, filtered by the server, with gaps as rows; bounded in memory and in work per frame.

import { attribute, h, head, text } from "./dom.js";
import { fleet, stream } from "./fleet.js";
import { number, rate } from "./format.js";
import { parse } from "./filter.js";
import { parameter, remember } from "./route.js";
import { note, render } from "./row.js";
import { sendPanel } from "./send.js";
import { Tally } from "./tally.js";
import { button, filterField } from "./widgets.js";

/** The rows that are kept. */
const MOST_ROWS = 1000;
/** The rows of one frame, and of one second in the long run; what exceeds them is counted. */
const ROWS_PER_FRAME = 250;
const ROWS_PER_SECOND = 400;
/** The shortest and the longest time between two changes of the list, and the share of time that they may take. */
const FRAME = 100;
const LONGEST_FRAME = 1000;
const SHARE = 0.25;

const list = h("ol", { class: "events", "aria-label": "Events, newest first" });
const tally = new Tally();
const log = { pending: [], isPaused: false, whilePaused: 0, budget: MOST_ROWS, drawn: 0, wait: FRAME, timer: 0, shown: 0, lastShown: 0, lastCount: 0, page: null };

/** Takes a message of the stream. */
function take(type, value) {
  if (type === "rows") {
    for (const row of value.rows) queue(row);
    schedule();
  } else if (type === "counts") {
    flush();
    const now = performance.now();
    const shown = (log.shown - log.lastShown) * 1000 / Math.max(500, now - log.lastCount);
    log.lastShown = log.shown;
    log.lastCount = now;
    tally.count(value, shown);
    line();
  }
}

function queue(row) {
  const isEvent = row.kind === "event";
  if (isEvent) tally.receive(1);
  if (log.isPaused) {
    if (isEvent) { log.whilePaused += 1; tally.skip(1); return; }
  }
  log.pending.push(row);
  if (log.pending.length > MOST_ROWS) drop(log.pending.shift());
}

function drop(row) {
  if (row.kind === "event") tally.skip(1);
}

function schedule() {
  if (log.timer !== 0) return;
  log.timer = setTimeout(() => requestAnimationFrame(() => { log.timer = 0; flush(); }), Math.max(0, log.wait - (performance.now() - log.drawn)));
}

/** Shows what is pending, as far as the budget goes; the rest is counted as not shown. */
function flush() {
  const now = performance.now();
  log.budget = Math.min(MOST_ROWS, log.budget + ((now - log.drawn) * ROWS_PER_SECOND) / 1000);
  log.drawn = now;
  const wanted = Math.min(ROWS_PER_FRAME, Math.floor(log.budget));
  const rows = log.pending;
  log.pending = [];
  const fragment = document.createDocumentFragment();
  let left = wanted, shown = 0;
  for (const row of rows.reverse()) {
    if (row.kind !== "event") fragment.append(render(row));
    else if (left > 0) { fragment.append(render(row)); left -= 1; shown += 1; }
    else drop(row);
  }
  if (fragment.childElementCount === 0) return;
  log.budget -= shown;
  log.shown += shown;
  list.prepend(fragment);
  while (list.childElementCount > MOST_ROWS) list.lastElementChild.remove();
  measure(now);
  line();
}

/** Changes the list less often where the browser needs long to draw it, so that clicks are answered. */
function measure(began) {
  requestAnimationFrame(() => setTimeout(() => {
    const took = performance.now() - began;
    log.wait = Math.min(LONGEST_FRAME, Math.max(FRAME, (log.wait + took / SHARE) / 2));
  }));
}

/** The line that accounts for all events. */
function line() {
  const page = log.page;
  if (!page) return;
  const sums = tally.sums();
  text(page.rates, `${rate(tally.arrivedPerSecond)}/s arrive · ${rate(tally.shownPerSecond)}/s shown`);
  text(page.sums, `${number(sums.shown)} shown + ${number(sums.filtered)} hidden by the filter + ${number(sums.notShown)} not shown = ${number(sums.arrived)} arrived`);
  for (const [name, value] of Object.entries(sums)) attribute(page.sums, `data-${name.toLowerCase()}`, value);
  const is = log.isPaused ? "paused" : fleet.status;
  page.hint.hidden = list.childElementCount > 0;
  text(page.hint, is === "live" ? (sums.filtered > 0 ? "No event passes the filter." : "No events yet. They appear here as they pass.") : is === "paused" ? "Paused." : "Waiting for the stream …");
  const gaps = tally.gaps > 0 ? `${number(tally.gaps)} gaps not shown` : "";
  text(page.paused, log.isPaused ? `paused · ${number(log.whilePaused)} arrived since` : gaps);
}

function pause() {
  log.isPaused = !log.isPaused;
  if (!log.isPaused && log.whilePaused > 0) list.prepend(note(`paused: ${number(log.whilePaused)} not shown`));
  log.whilePaused = 0;
  flush();
  attribute(log.page.pause, "aria-pressed", log.isPaused);
  text(log.page.pause, log.isPaused ? "Go on" : "Pause");
  line();
}

function clear() {
  list.replaceChildren();
  line();
}

/** A button that switches a way to show rows, which the address keeps. */
function toggle(words, name) {
  const set = (isOn) => { list.classList.toggle(name, isOn); attribute(pressed, "aria-pressed", isOn); };
  const pressed = button(words, () => {
    const isOn = !list.classList.contains(name);
    remember({ [name]: isOn ? "yes" : "" });
    set(isOn);
  });
  set(parameter(name) === "yes");
  return pressed;
}

const rows = {
  parameters: () => ({ ...parse(parameter("filter")), events: "true" }),
  take,
  became(status) {
    if (status !== "live") { flush(); tally.reopen(); }
    line();
  },
};

export const events = {
  title: "Events",
  open() {
    const page = log.page = { rates: h("span", { class: "rates" }), sums: h("span", { class: "sums" }), hint: h("p", { class: "empty" }), paused: h("strong", {}) };
    page.pause = button(log.isPaused ? "Go on" : "Pause", pause, { class: "primary", "aria-pressed": String(log.isPaused), "aria-keyshortcuts": "Space" });
    const changed = () => { list.prepend(note(`filter: ${parameter("filter") || "none"}`)); stream(rows); };
    const tools = h("div", { class: "tools", role: "group", "aria-label": "List of events" }, page.pause, button("Clear", clear), toggle("Wrap", "wrap"), toggle("Raw", "raw"));
    const sending = sendPanel();
    sending.update();
    const update = () => { line(); sending.update(); };
    const element = h("div", { class: "page events-page" }, head("Events", filterField("Filter events", "user.*  from:api-1  text:\"Ada\"", changed), tools), sending.element,
      h("div", { class: "tallyline" }, page.rates, page.sums, page.paused), h("section", { class: "panel flush" }, page.hint, list));
    if (list.childElementCount > 0) list.prepend(note("opened again"));
    return { element, rows, pause, update, close };
  },
};

function close() {
  sendPanel().close();
  flush();
  tally.reopen();
  log.page = null;
}
