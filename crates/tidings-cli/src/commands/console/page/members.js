// Members: each member of the fleet, with its handlers, failures and gaps.

import { attribute, h, head, keyed, redraw, state, table, text } from "./dom.js";
import { fleet } from "./fleet.js";
import { age, clock, count, cut, number, rate, short, visible } from "./format.js";
import { parameter, remember } from "./route.js";
import { condition, fact, filterField, matches, milliseconds, name } from "./widgets.js";

const COLUMNS = ["Name", "Role", "Version", "Host", ["Process", "right"], ["Since", "right"], "State", ["Events/s", "right"], ["Missed", "right"], ["Failed", "right"], ["Queue", "right"]];
const MOST = 500;
const opened = new Set();

/** The fullest queue of a member's handlers. */
function fullest(handlers) {
  const share = (one) => one.queue / Math.max(1, one.queue_limit);
  return handlers.reduce((most, one) => (most === null || share(one) > share(most) ? one : most), null);
}

function cells(member) {
  const health = member.inspection?.health;
  const queue = fullest(member.inspection?.handlers ?? []);
  return {
    Role: member.role ?? "–", Version: member.version ?? "–", Host: member.host, Process: String(member.pid), Since: age(member.started, fleet.look.at),
    "Events/s": rate(member.received_rate), Missed: number(member.missed), Failed: number(health?.failures), Queue: queue ? `${number(queue.queue)}/${number(queue.queue_limit)}` : "–",
  };
}

function make(member) {
  const toggle = h("button", { type: "button", class: "expand", "aria-expanded": "false" }, name(cut(member.name, 120), "strong"));
  const row = h("tr", { class: "member" });
  const parts = { toggle, row, cells: {} };
  for (const column of COLUMNS) {
    const [title, kind] = Array.isArray(column) ? column : [column];
    const cell = title === "Name" ? h("th", { scope: "row" }, toggle) : h("td", { class: kind, "data-label": title });
    parts.cells[title] = cell;
    row.append(cell);
  }
  parts.details = h("td", { colspan: COLUMNS.length, tabindex: "-1" });
  parts.more = h("tr", { class: "more", hidden: true }, parts.details);
  const body = Object.assign(h("tbody", {}, row, parts.more), { parts });
  toggle.addEventListener("click", () => {
    if (!opened.delete(member.id)) opened.add(member.id);
    update(body, fleet.look.members.find((one) => one.id === member.id) ?? member);
  });
  return body;
}

function update(body, member) {
  const { parts } = body;
  const is = condition(member, fleet.look.at);
  for (const [title, value] of Object.entries(cells(member))) text(parts.cells[title], visible(cut(value, 120)));
  const words = `${is.word} ${is.why}`;
  if (parts.words !== words) {
    parts.words = words;
    parts.cells.State.replaceChildren(state(is.kind, is.word), is.why ? h("small", {}, visible(cut(is.why, 160))) : "");
  }
  attribute(parts.cells.Missed, "data-kind", member.missed > 0 ? "bad" : null);
  attribute(parts.cells.Failed, "data-kind", member.inspection?.health?.failures > 0 ? "warn" : null);
  const isOpen = opened.has(member.id);
  attribute(parts.toggle, "aria-expanded", isOpen);
  parts.more.hidden = !isOpen;
  if (!isOpen) { parts.taken = null; return; }
  const taken = member.inspection?.taken ?? member.error;
  if (parts.taken === taken) return;
  parts.taken = taken;
  redraw(parts.details, details(member));
}

function details(member) {
  const { inspection } = member;
  const facts = h("dl", { class: "facts" }, fact("Node", h("code", {}, short(member.id))), fact("Lease", milliseconds(member.lease)), fact("Journal", member.has_journal ? "yes" : "no"));
  if (!inspection) return h("div", { class: "inside" }, facts, h("p", {}, visible(member.error ?? "No answer yet.")));
  const { health } = inspection;
  facts.append(fact("tidings", visible(inspection.version)), fact("Received", number(health.received)), fact("Sent", number(health.sent)), fact("Duplicates", number(health.duplicate)), fact("Gaps", number(health.gaps)), fact("Dropped", number(health.dropped)), fact("Reconnects", number(health.reconnects)), fact("Outgoing", number(health.outgoing)));
  const rows = inspection.handlers.slice(0, 200).map(handler);
  const handlers = rows.length === 0 ? h("p", { class: "empty" }, "No handlers.")
    : table(`Handlers of ${visible(member.name)}`, ["Handler", "Events", ["Handled", "right"], ["Failed", "right"], ["Timed out", "right"], ["Slowest", "right"], ["In progress", "right"], ["Queue", "right"]], h("tbody", {}, rows));
  const unlisted = inspection.unlisted_handlers > 0 ? h("p", {}, `${count(inspection.unlisted_handlers, "more handler")}, not listed`) : null;
  return h("div", { class: "inside" }, facts, handlers, unlisted, list("Last failures", inspection.failures), list("Last gaps", inspection.gaps));
}

function handler(one) {
  const cell = (title, value, kind) => h("td", { class: "right", "data-label": title, "data-kind": kind }, value);
  const ratio = one.queue / Math.max(1, one.queue_limit);
  return h("tr", {}, h("th", { scope: "row" }, name(cut(one.handler, 160), "code")),
    h("td", { "data-label": "Events" }, one.events.slice(0, 12).map((event) => name(cut(event, 80), "tag"))),
    cell("Handled", number(one.handled)), cell("Failed", number(one.failed), one.failed > 0 ? "warn" : null), cell("Timed out", number(one.timed_out), one.timed_out > 0 ? "warn" : null),
    cell("Slowest", milliseconds(one.slowest)), cell("In progress", number(one.in_progress)),
    cell("Queue", `${number(one.queue)}/${number(one.queue_limit)}`, ratio > 0.5 ? "bad" : null));
}

function list(title, items) {
  if (items.length === 0) return null;
  return h("div", {}, h("h3", {}, title), h("ul", { class: "plain" }, [...items].sort((a, b) => b.at - a.at).slice(0, 20).map((one) => h("li", {}, h("time", {}, clock(one.at)), name(cut(one.text, 400))))));
}

export const members = {
  title: "Members",
  open() {
    const sentence = h("p", { class: "sentence" });
    const area = table("Members", COLUMNS, null);
    area.classList.add("stack");
    const list = area.querySelector("table");
    const hint = h("p", { class: "empty" });
    const draw = () => {
      if (!fleet.look) { text(sentence, "Waiting for the first look at the fleet …"); return; }
      const filter = parameter("filter");
      const chosen = fleet.look.members.filter((one) => matches(filter, one.name, one.role ?? "", one.host, one.version ?? "", String(one.pid), condition(one, fleet.look.at).word, ...(one.inspection?.handlers ?? []).flatMap((handler) => handler.events)));
      chosen.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id < b.id ? -1 : 1));
      hint.hidden = chosen.length > 0;
      area.hidden = chosen.length === 0;
      text(hint, fleet.look.members.length > 0 ? "No member passes the filter." : "Processes with a bus appear here as they start.");
      text(sentence, `${count(fleet.look.members.length, "member")} · ${number(fleet.look.totals.receive)} receive${chosen.length < fleet.look.members.length ? ` · ${number(chosen.length)} shown` : ""}${chosen.length > MOST ? ` · the first ${MOST} are listed` : ""}`);
      keyed(list, chosen.slice(0, MOST), (one) => one.id, make, update, list.tHead);
    };
    const element = h("div", { class: "page" }, head("Members", sentence, filterField("Filter members", "name, role, host, event …", draw)), h("section", { class: "panel flush" }, hint, area));
    const wanted = parameter("name");
    if (wanted) { opened.add(wanted); remember({ name: "" }); }
    return { element, update: draw, readdress: draw };
  },
};
