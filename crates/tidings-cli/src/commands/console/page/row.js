// One row of the list of events: an event with its details, a gap, or a remark.

import { stringify } from "./api.js";
import { h, text } from "./dom.js";
import { bytes, clock, count, cut, number, short, visible } from "./format.js";
import { hexDump, line, pretty } from "./json.js";
import { button, copy, fact, name, nodeName } from "./widgets.js";

const PREVIEW = 400;
const FORMATS = new Map([["json", "JSON"], ["msgpack", "MessagePack"]]);

/** Returns the element of a row. */
export function render(row) {
  if (row.kind === "event") return event(row);
  if (row.kind === "gap") return loss(row, gapWords(row));
  return loss(row, `a frame of ${bytes(row.bytes)} from ${nodeName(row.sender_name, row.sender)} cannot be read: ${row.text ?? ""}`);
}

/** A remark between rows. */
export const note = (words) => h("li", { class: "note" }, h("span", {}, visible(cut(words, 300))));

function gapWords(row) {
  const missed = row.missed == null ? "an unknown number of events" : count(row.missed, "event");
  const sender = row.sender || row.sender_name ? ` of ${nodeName(row.sender_name, row.sender)}` : "";
  return `${missed}${sender} missed here${row.text || row.reason ? ` (${row.text || row.reason})` : ""}`;
}

const loss = (row, words) => h("li", { class: "loss" }, h("time", {}, clock(row.at, true)), h("span", {}, visible(cut(words, 500))));

const format = (row) => FORMATS.get(row.format) ?? row.format ?? "–";

function event(row) {
  const hasData = row.data !== undefined;
  const raw = visible(cut(row.raw ?? "", PREVIEW));
  const preview = hasData ? line(row.data, PREVIEW) : raw;
  const to = row.to === "all" ? "" : row.to === "others" ? "to others" : `to ${short(row.to)}`;
  const remarks = [row.is_request ? "request" : "", to, row.format === "json" ? "" : format(row), row.error ? "not decoded" : "", row.is_cut ? "cut" : "", row.is_hidden ? "hidden" : "", row.is_masked ? "masked" : ""].filter(Boolean);
  const summary = h("button", { type: "button", class: "line", "aria-expanded": "false" },
    h("time", {}, clock(row.at, true)), name(cut(nodeName(row.sender_name, row.sender), 60), "sender"),
    h("span", { class: "event" }, name(cut(row.name, 160)), row.sequence == null ? null : h("small", {}, ` #${number(row.sequence)}`)),
    h("bdi", { class: "preview" }, preview), h("bdi", { class: "preview as-raw" }, raw),
    h("span", { class: "remarks" }, remarks.map((words) => h("span", { class: "tag" }, visible(cut(words, 30)))), h("small", {}, bytes(row.bytes))));
  const item = h("li", {}, summary);
  let inside = null;
  summary.addEventListener("click", () => {
    if (inside) { inside.remove(); inside = null; } else item.append(inside = details(row));
    summary.setAttribute("aria-expanded", String(inside !== null));
  });
  return item;
}

/** All of an event: where it came from, its headers, and its payload, decoded or raw. */
function details(row) {
  const facts = h("dl", { class: "facts" }, fact("Event", name(row.name, "code")), fact("Sender", name(row.sender_name ?? "unknown"), " ", h("code", {}, short(row.sender))),
    fact("Number", number(row.sequence)), fact("To", name(row.to)), fact("Format", visible(format(row))), fact("Size", bytes(row.bytes)));
  for (const [header, value] of Object.entries(row.headers ?? {}).slice(0, 32)) facts.append(fact(name(cut(header, 80)), name(cut(value, 400))));
  const raw = () => (row.is_hex ? hexDump(row.raw ?? "") : h("pre", { class: "json", tabindex: "0" }, visible(row.raw ?? "")));
  const hasData = row.data !== undefined;
  const payload = h("div", {}, hasData ? pretty(row.data) : raw());
  let isRaw = !hasData;
  const other = button("Show raw", (event) => {
    isRaw = !isRaw;
    payload.replaceChildren(isRaw ? raw() : pretty(row.data));
    text(event.currentTarget, isRaw ? "Show decoded" : "Show raw");
  });
  const remark = row.error ? `not decoded: ${row.error}` : row.is_hidden ? "Payloads are hidden." : row.is_masked && !row.is_cut ? "Fields are masked." : row.is_cut ? "The payload is longer than what is shown of it." : "";
  return h("div", { class: "inside" }, facts, remark ? h("p", { class: "remark" }, visible(cut(remark, 500))) : null, payload,
    h("div", { class: "tools" }, hasData && row.raw ? other : null, button("Copy", (event) => copy(hasData ? stringify(row.data, 2) : row.raw ?? "", event))));
}
