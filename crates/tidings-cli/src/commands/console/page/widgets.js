// Parts that several pages share: the filter field, buttons, names, polling, and how a member is.

import { age, duration, short, visible } from "./format.js";
import { h } from "./dom.js";
import { parameter, remember } from "./route.js";

/** A filter field whose text lives in the address; `changed` is called with it after a pause in typing. */
export function filterField(label, placeholder, changed) {
  let timer = 0;
  const input = h("input", { type: "search", id: "filter", placeholder, autocomplete: "off", spellcheck: "false", maxlength: "400", "aria-keyshortcuts": "/" });
  input.value = parameter("filter");
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      // Another page is shown by now, and the address is that page's.
      if (!input.isConnected) return;
      remember({ filter: input.value });
      changed(input.value);
    }, 250);
  });
  return h("div", { class: "filter" }, h("label", { for: "filter", class: "hidden" }, label), input, h("kbd", { "aria-hidden": "true" }, "/"));
}

/** A button with a text. */
export const button = (words, press, properties = {}) => h("button", { type: "button", onclick: press, ...properties }, words);

/** Whether a text has each word of a filter. */
export function matches(words, ...texts) {
  const all = texts.join(" ").toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => all.includes(word));
}

/** A foreign name, isolated from the direction of the text around it. */
export const name = (words, kind) => h("bdi", { class: kind }, visible(words));

/** The name of a node, or the start of its id. */
export const nodeName = (named, id) => named ?? short(id);

/** How a member is: the kind of state, a word for it, and why. */
export function condition(member, now) {
  if (member.receives === true) return { kind: "good", word: "receives", why: "" };
  if (member.receives == null) return { kind: "off", word: "unknown", why: member.error ?? "" };
  const since = member.silent_since ?? (member.inspection?.health?.since != null ? now - member.inspection.health.since : null);
  const why = [since == null ? "" : `since ${age(since, now)}`, member.error ?? (member.inspection ? "its connection is lost" : "")];
  return { kind: "bad", word: member.silent_since ? "silent" : "disconnected", why: why.filter(Boolean).join(": ") };
}

/** Calls `ask` now and every `every` milliseconds while the tab is visible; returns a function that ends this. */
export function poll(every, ask) {
  let timer = 0, abort = new AbortController(), isClosed = false;
  const round = async () => {
    clearTimeout(timer);
    if (isClosed || document.hidden) return;
    abort.abort();
    const mine = abort = new AbortController();
    await ask(mine.signal).catch(() => {});
    if (!isClosed && abort === mine) timer = setTimeout(round, every);
  };
  document.addEventListener("visibilitychange", round);
  round();
  return () => {
    isClosed = true;
    clearTimeout(timer);
    abort.abort();
    document.removeEventListener("visibilitychange", round);
  };
}

/** Copies a text, and says so on the button for a second. */
export async function copy(words, event) {
  const pressed = event.currentTarget;
  // Pressed again, it may still say "copied".
  const before = (pressed.dataset.label ??= pressed.textContent);
  const done = await navigator.clipboard.writeText(words).then(() => "copied", () => "not allowed");
  pressed.textContent = done;
  setTimeout(() => { pressed.textContent = before; }, 1200);
}

/** A term and its value, for a `dl`. */
export const fact = (term, ...value) => h("div", {}, h("dt", {}, term), h("dd", {}, ...value));

export const milliseconds = (value) => (value == null ? "–" : duration(value));
