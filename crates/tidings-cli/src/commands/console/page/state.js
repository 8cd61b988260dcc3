// State: the shared values, maps and counters of the namespace, and one of them in full.

import { json, stringify } from "./api.js";
import { attribute, h, head, keyed, redraw, table, text } from "./dom.js";
import { counterTools, entryTools, newEntry, newValue, sharedTools } from "./edit.js";
import { fleet } from "./fleet.js";
import { bytes, count, cut, number, visible } from "./format.js";
import { line, pretty } from "./json.js";
import { parameter, remember } from "./route.js";
import { button, fact, filterField, matches, name, poll } from "./widgets.js";

const GROUPS = [["shared", "Values"], ["map", "Maps"], ["counter", "Counters"], ["other", "Other keys"]];
const PAGE = 500;

/** Whether the console may change values. */
const mayChange = () => fleet.about?.allows_write === true;

/** Shows a value with its version. */
function shared(value, { again }) {
  const facts = h("dl", { class: "facts" }, fact("Version", number(value.version)), fact("Size", bytes(value.bytes)), fact("State", value.is_set ? "set" : "not set"));
  return [facts, value.error ? h("p", { class: "remark" }, visible(cut(value.error, 500))) : value.is_set ? pretty(value.value) : null,
    value.is_masked ? h("p", { class: "remark" }, "Fields are masked.") : null, mayChange() && !value.is_masked ? sharedTools(value.name, again) : null];
}

function map(value, { turn, find, again }) {
  const facts = h("dl", { class: "facts" }, fact("Entries", number(value.count)));
  const isChangeable = mayChange() && !value.is_masked;
  const rows = value.entries.map((entry) => {
    const summary = h("summary", {}, h("bdi", {}, line(entry.value, 200)));
    const details = h("details", {}, summary);
    details.addEventListener("toggle", () => { if (details.open && details.childElementCount === 1) details.append(pretty(entry.value)); });
    return h("tr", {}, h("th", { scope: "row" }, name(cut(entry.key, 200), "code")), h("td", {}, entry.error ? visible(entry.error) : details),
      isChangeable ? h("td", { class: "right" }, entryTools(value.name, entry.key, again)) : null);
  });
  const input = h("input", { type: "search", id: "entry", placeholder: "key", autocomplete: "off", spellcheck: "false" });
  input.value = parameter("entry");
  const form = h("form", { class: "pair", onsubmit: (event) => { event.preventDefault(); find(input.value); } }, h("label", { for: "entry", class: "hidden" }, "Key of an entry"), input, h("button", {}, "Find"));
  const columns = ["Key", "Value", ...(isChangeable ? [["Change", "right"]] : [])];
  const isFirst = parameter("cursor") === "";
  // Others may have changed the map since its entries were counted.
  const missing = value.next == null && isFirst && parameter("entry") === "" && !value.error ? value.count - rows.length : 0;
  const remark = value.error ?? (missing > 0 ? `${count(missing, "entry is", "entries are")} not shown: removed just now, or not decodable.` : null);
  const pager = value.next != null || !isFirst ? h("div", { class: "tools" },
    button("First page", () => turn(""), { disabled: isFirst }), button("Next page", () => turn(value.next), { disabled: value.next == null }),
    h("span", {}, `${count(rows.length, "entry", "entries")} on this page`)) : null;
  return [facts, remark ? h("p", { class: "remark" }, visible(cut(remark, 500))) : null,
    h("div", { class: "tools" }, form, isChangeable ? newEntry(value.name, again) : null), rows.length > 0 ? table("Entries", columns, h("tbody", {}, rows)) : null, pager];
}

const counter = (value, { again }) => [h("p", { class: "big" }, number(value.value)), value.error ? h("p", { class: "remark" }, visible(value.error)) : null,
  mayChange() ? counterTools(value.name, again) : null];

/** Whether somebody types in the details, reads an entry or changes a value: then the details are not drawn again. */
const isInUse = (detail) => detail.querySelector("details[open], input:focus") !== null || document.querySelector("dialog[open]") !== null;

export const state = {
  title: "State",
  open() {
    const sentence = h("p", { class: "sentence" }, "Reading …");
    const tree = h("nav", { class: "tree", "aria-label": "Keys" });
    const groups = GROUPS.map(([kind, title]) => ({ kind, title, heading: h("h2", {}), list: h("ul", {}) }));
    for (const group of groups) tree.append(group.heading, group.list);
    const detail = h("section", { class: "panel detail", "aria-live": "off", tabindex: "-1" });
    let keys = [], last = "";
    let again = () => {};
    const pick = (kind, key) => { remember({ kind, name: key, cursor: "", entry: "" }); last = ""; draw(); again(); };
    const turn = (cursor) => { remember({ cursor }); last = ""; again(); };
    const find = (entry) => { remember({ entry, cursor: "" }); last = ""; again(); };
    const draw = () => {
      const filter = parameter("filter");
      for (const group of groups) {
        const all = keys.filter((key) => key.kind === group.kind);
        const chosen = all.filter((key) => matches(filter, key.name));
        group.heading.hidden = chosen.length === 0;
        text(group.heading, `${group.title} ${chosen.length === all.length ? number(all.length) : `${number(chosen.length)} of ${number(all.length)}`}`);
        keyed(group.list, chosen.slice(0, PAGE), (key) => key.name, (key) => h("li", {}, key.kind === "other" ? name(cut(key.name, 200)) : button(visible(cut(key.name, 200)), () => pick(key.kind, key.name))),
          (item, key) => attribute(item.firstChild, "aria-current", key.kind === parameter("kind") && key.name === parameter("name") ? "true" : null));
        if (chosen.length > PAGE) text(group.heading, `${group.title}: the first ${PAGE} of ${number(chosen.length)}`);
      }
    };
    const one = async (signal) => {
      const [kind, key] = [parameter("kind"), parameter("name")];
      if (!["shared", "map", "counter"].includes(kind) || key === "") {
        detail.replaceChildren(h("p", { class: "empty" }, keys.length > 0 ? "Choose a key." : "The namespace has no shared state."));
        return;
      }
      let parts, source;
      try {
        const value = await json(`/api/state/${kind}`, { name: key, cursor: parameter("cursor"), key: parameter("entry") }, signal);
        source = stringify([kind, key, value, mayChange()]);
        if (source === last) return;
        const redo = () => { last = ""; again(); };
        parts = { shared, map, counter }[kind](kind === "map" ? { ...value, entries: value.entries ?? [] } : value, { turn, find, again: redo });
      } catch (error) {
        if (!error.status) throw error;
        source = "";
        parts = [h("p", { class: "remark" }, visible(cut(error.message, 500)))];
      }
      const isNew = last === "";
      if (signal.aborted || (!isNew && isInUse(detail))) return;
      last = source;
      redraw(detail, h("h2", {}, h("small", {}, `${{ shared: "Value", map: "Map", counter: "Counter" }[kind]} `), name(cut(key, 300))), ...parts.flat().filter(Boolean));
      if (!isNew) { detail.classList.remove("changed"); requestAnimationFrame(() => detail.classList.add("changed")); }
    };
    let round = 0;
    const start = () => poll(1000, async (signal) => {
      if (round % 5 === 0) {
        const answer = await json("/api/state", {}, signal).catch((error) => {
          // The server may have scanned all of Redis: it does so as seldom as after an answer.
          if (error.status) { text(sentence, visible(error.message)); round += 1; }
          throw error;
        });
        keys = answer.keys;
        text(sentence, answer.error ? visible(answer.error) : `${count(keys.length, "key")}${answer.is_complete ? "" : " · incomplete: not all keys of Redis were scanned"}`);
        draw();
      }
      round += 1;
      await one(signal);
    });
    let stop = start();
    again = () => {
      // A change may be answered when another page is shown.
      if (!element.isConnected) return;
      stop();
      round = Math.min(round, 1);
      stop = start();
    };
    const creation = h("div", { class: "tools", hidden: !mayChange() }, newValue((key) => { if (element.isConnected) { round = 0; pick("shared", key); } }));
    const update = () => { creation.hidden = !mayChange(); };
    const element = h("div", { class: "page" }, head("State", sentence, filterField("Filter keys", "name …", draw), creation), h("div", { class: "split" }, h("div", { class: "panel side" }, tree), detail));
    return { element, update, close: () => stop(), readdress: () => { last = ""; draw(); again(); } };
  },
};
