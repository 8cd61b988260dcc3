// What this tab knows of the fleet: the last look, five minutes of rates, and the one stream that brings them.

import { open } from "./stream.js";

/** Seconds of rates that are kept. */
export const SECONDS = 300;

export const fleet = { about: null, look: null, history: [], status: "connecting", why: "" };

const watchers = new Set();
let close = null;
let rows = null;

/** Calls `each` after each change; returns a function that ends this. */
export function watch(each) {
  watchers.add(each);
  return () => watchers.delete(each);
}

/** Opens the stream with the rows of events that `wanted` describes. Without rows, an open one goes on. */
export function stream(wanted = null) {
  if (close && !rows && !wanted) return;
  close?.();
  rows = wanted;
  close = open("/api/stream", () => ({ ...wanted?.parameters() }), take, became);
}

/** Ends the stream and forgets the fleet. */
export function forget() {
  close?.();
  close = null;
  Object.assign(fleet, { about: null, look: null, history: [] });
}

function take(type, value) {
  if (type === "about") {
    fleet.about = value;
    if (value.history) restore(value.history);
  } else if (type === "look") {
    add(value);
    fleet.look = value;
  } else if (type === "error") {
    fleet.why = value.error;
  } else {
    rows?.take(type, value);
    return;
  }
  tell();
}

/** Takes the history of the server, which knows no failures, and of which no page may have been there for an hour. */
function restore(history) {
  const failures = new Map(fleet.history.map((second) => [second.at, second.failures]));
  fleet.history = [];
  for (const second of history) append({ ...second, names: new Map(Object.entries(second.names)), failures: failures.get(second.at) ?? null });
}

/** Adds the rates of a look to the history. */
function add(look) {
  // A map: events may be named `constructor` or `__proto__`.
  const names = new Map((look.rates?.names ?? []).map((one) => [one.name, one.per_second]));
  const before = fleet.look?.totals?.failures ?? look.totals.failures;
  append({ at: look.at, per_second: look.rates?.per_second ?? 0, names, failures: Math.max(0, look.totals.failures - before) });
}

/** Adds a second to the history, after empty ones where some are missing. */
function append(second) {
  const last = fleet.history.at(-1);
  if (last && second.at <= last.at) return;
  const missing = last ? Math.min(SECONDS, Math.round((second.at - last.at) / 1000) - 1) : 0;
  for (let ago = missing; ago > 0; ago -= 1) {
    fleet.history.push({ at: second.at - ago * 1000, per_second: null, names: new Map(), failures: null });
  }
  fleet.history.push(second);
  fleet.history.splice(0, fleet.history.length - SECONDS);
}

function became(status, why = "") {
  fleet.status = status;
  fleet.why = why;
  rows?.became(status);
  tell();
}

function tell() {
  for (const each of watchers) each();
}
