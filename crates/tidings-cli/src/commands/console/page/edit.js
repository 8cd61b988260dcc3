// The buttons of the State page that change values, maps and counters, where the console allows it.

import { json, post, Refused, stringify } from "./api.js";
import { change } from "./change.js";
import { h } from "./dom.js";
import { cut, number, visible } from "./format.js";
import { pretty } from "./json.js";
import { button, fact, name } from "./widgets.js";

const title = (word, key, of = null) => [`${word} `, name(cut(key, 200), "code"), ...(of === null ? [] : [" of ", name(cut(of, 200), "code")])];

/** A value as it is now. */
function now(value) {
  if (value.error) return [h("p", { class: "remark" }, visible(cut(value.error, 500)))];
  if (value.is_set === false || value.value === undefined) return [h("p", { class: "sentence" }, "There is no value now.")];
  return [h("h3", {}, value.version == null ? "Now" : `Now, at version ${number(value.version)}`), pretty(value.value)];
}

const text = (value) => (value === null || value.error || value.is_set === false || value.value === undefined ? "" : stringify(value.value, 2));
const NEW_VALUE = { id: "new-value", label: "New value, as JSON", kind: "json" };

/** The buttons of a shared value. */
export function sharedTools(key, done) {
  const path = "/api/state/shared";
  const read = () => json(path, { name: key });
  const set = () => change({ title: title("Change", key), word: "Set", fields: [NEW_VALUE], read, show: now, initial: text, done,
    send: (value, [words]) => post(path, { do: "set", name: key, version: value.version, value: words }) });
  const clear = () => change({ title: title("Remove", key), word: "Remove", kind: "danger", read, show: now, done,
    send: (value) => post(path, { do: "clear", name: key, version: value.version }) });
  return h("div", { class: "tools" }, button("Change", set), button("Remove", clear));
}

/** The button for a shared value that is not there yet. */
export function newValue(done) {
  const fields = [{ id: "new-name", label: "Name", kind: "any" }, NEW_VALUE];
  const set = () => change({ title: ["New value"], word: "Set", fields, read: async () => null, show: now,
    send: (value, [key, words]) => post("/api/state/shared", { do: "set", name: key, version: value?.version ?? 0, value: words }), done: (answer) => done(answer.name) });
  return button("New value", set);
}

const entryOf = (map, key) => async () => (await json("/api/state/map", { name: map, key })).entries[0] ?? {};

/** The buttons of an entry of a map. */
export function entryTools(map, key, done) {
  const [path, read] = ["/api/state/map", entryOf(map, key)];
  const set = () => change({ title: title("Change", key, map), word: "Set", fields: [NEW_VALUE], read, show: now, initial: text, done,
    send: (_, [words]) => post(path, { do: "set", name: map, key, value: words }) });
  const remove = () => change({ title: title("Remove", key, map), word: "Remove", kind: "danger", read, show: now, done,
    send: () => post(path, { do: "remove", name: map, key }) });
  return h("div", { class: "tools" }, button("Change", set, { "aria-label": `Change ${cut(key, 80)}` }), button("Remove", remove, { "aria-label": `Remove ${cut(key, 80)}` }));
}

/** Refuses a key that the map has, with its entry, which the dialog shows: an entry has no version that protects it. */
async function checkIsNew(map, key) {
  const current = await entryOf(map, key)();
  if (current.key !== undefined) throw new Refused(409, { error: "The map has this key already. Its value is shown above: Set replaces it.", current });
}

/** The button for a further entry of a map. */
export function newEntry(map, done) {
  const fields = [{ id: "new-name", label: "Key", kind: "any" }, NEW_VALUE];
  const set = () => change({ title: title("New entry of", map), word: "Set", fields, read: async () => null, show: now, done,
    send: async (shown, [key, words]) => {
      if (shown?.key !== key) await checkIsNew(map, key);
      return post("/api/state/map", { do: "set", name: map, key, value: words });
    } });
  return button("New entry", set);
}

/** The buttons of a counter. */
export function counterTools(key, done) {
  const path = "/api/state/counter";
  const read = () => json(path, { name: key });
  const show = (value) => [h("dl", { class: "facts" }, fact("Now", number(value.value)))];
  const add = () => change({ title: title("Add to", key), word: "Add", fields: [{ id: "new-value", label: "Number; a negative one is subtracted", kind: "whole" }], read, show, done,
    send: (_, [words]) => post(path, { do: "add", name: key, number: words.trim() }) });
  const reset = () => change({ title: title("Reset", key), word: "Reset to 0", kind: "danger", read, show, done,
    send: () => post(path, { do: "reset", name: key }) });
  return h("div", { class: "tools" }, button("Add", add), button("Reset", reset));
}
