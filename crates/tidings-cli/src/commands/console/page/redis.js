// Redis: each server with its role, lag, memory, clients and slots; changes of roles as they happen.

import { json } from "./api.js";
import { h, head, state, svg, text } from "./dom.js";
import { bytes, clock, count, cut, number, visible } from "./format.js";
import { fact, milliseconds, name, poll } from "./widgets.js";

const SLOTS = 16384;
const KINDS = new Map([["single", "one server"], ["standalone", "one server"], ["sentinel", "servers behind Sentinel"], ["cluster", "a cluster"], ["memory", "memory of one process"]]);

/** What changed since the last answer, while this tab is open; newest first. */
const changes = [];
const before = new Map();

function compare(servers, at) {
  const isFirst = before.size === 0;
  for (const server of servers) {
    const is = server.error ? "unreachable" : server.role;
    const was = before.get(server.server);
    if (!isFirst && was !== is) changes.unshift({ at, server: server.server, was: was ?? "not there", is: is ?? "unknown" });
    before.set(server.server, is);
  }
  changes.length = Math.min(changes.length, 50);
}

/** How a server is: the kind of state and a word for it. */
function condition(server) {
  if (server.error) return state("bad", "unreachable");
  if (server.is_connected === false) return state("bad", `${server.role ?? ""} not connected`);
  return state(server.role === "sentinel" ? "off" : "good", visible(server.role ?? "unknown"));
}

/** The slots of a server as ranges on the line of all slots. */
function slotLine(slots) {
  const total = slots.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  const ranges = slots.slice(0, 200).map(([first, last]) => svg("rect", { x: first, width: last - first + 1, height: 10 }));
  return h("div", { class: "slots" }, svg("svg", { viewBox: `0 0 ${SLOTS} 10`, preserveAspectRatio: "none", role: "img", "aria-label": count(total, "slot") }, svg("rect", { class: "ground", width: SLOTS, height: 10 }), ranges),
    h("small", {}, `${count(total, "slot")}: ${cut(slots.slice(0, 8).map(([first, last]) => (first === last ? first : `${first}–${last}`)).join(", "), 120)}${slots.length > 8 ? " …" : ""}`));
}

function card(server) {
  const facts = h("dl", { class: "facts" });
  const add = (term, value) => { if (value != null) facts.append(fact(term, value)); };
  const isKnown = (value, words) => (value == null ? null : words(value));
  add("Version", isKnown(server.version, visible));
  add("Keys", isKnown(server.keys, (keys) => `${server.are_keys_complete === false ? "at least " : ""}${number(keys)}`));
  add("Clients", isKnown(server.clients, number));
  add("Memory", isKnown(server.used_memory, (used) => `${bytes(used)}${server.max_memory ? ` of ${bytes(server.max_memory)}` : ""}`));
  add("Behind", isKnown(server.lag_bytes, bytes));
  add("Last contact", isKnown(server.silence, (value) => `${milliseconds(value)} ago`));
  add("Backlog", isKnown(server.largest_backlog, bytes));
  add("Round trip", isKnown(server.round_trip_micros, (micros) => milliseconds(micros / 1000)));
  add("Master", isKnown(server.master, (master) => name(master, "code")));
  const memory = server.max_memory > 0 && server.used_memory != null ? h("meter", { min: 0, max: server.max_memory, value: server.used_memory, high: server.max_memory * 0.8, "aria-label": "Memory in use" }) : null;
  return h("article", { class: `panel server ${server.role === "master" ? "is-master" : ""}` }, h("h2", {}, name(server.server), condition(server)),
    server.error ? h("p", { class: "remark" }, visible(cut(server.error, 500))) : null, facts, memory,
    server.slots?.length > 0 ? slotLine(server.slots) : null,
    server.denied?.length > 0 ? h("p", { class: "remark" }, visible(`no permission for ${cut(server.denied.join(", "), 200)}`)) : null);
}

const RANK = new Map([["master", 0], ["replica", 1], ["sentinel", 2]]);

/** Masters, each with its replicas after it; then sentinels. */
function ordered(servers) {
  const key = (server) => [server.role === "sentinel" ? 1 : 0, server.role === "replica" ? server.master ?? "~" : server.server, RANK.get(server.role) ?? 3, server.server].join("\u0000");
  return [...servers].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

export const redis = {
  title: "Redis",
  open() {
    const sentence = h("p", { class: "sentence" }, "Asking all servers …");
    const cards = h("div", { class: "servers" });
    const log = h("ul", { class: "plain" });
    const history = h("section", { class: "panel", hidden: true }, h("h2", {}, "Changes while this tab is open"), log);
    const close = poll(2000, async (signal) => {
      let answer;
      try {
        answer = await json("/api/servers", {}, signal);
      } catch (error) {
        if (error.status) text(sentence, visible(error.message));
        throw error;
      }
      const { servers } = answer;
      compare(servers, answer.at);
      const of = (role) => servers.filter((server) => server.role === role && !server.error).length;
      const roles = ["master", "replica", "sentinel"].filter((role) => of(role) > 0).map((role) => count(of(role), role));
      const unreachable = servers.filter((server) => server.error).length;
      text(sentence, answer.error ? visible(answer.error) : [KINDS.get(answer.kind) ?? visible(answer.kind ?? ""), ...roles, unreachable > 0 ? `${number(unreachable)} unreachable` : ""].filter(Boolean).join(" · "));
      cards.replaceChildren(...ordered(servers).slice(0, 200).map(card));
      history.hidden = changes.length === 0;
      log.replaceChildren(...changes.map((one) => h("li", {}, h("time", {}, clock(one.at)), h("span", {}, name(one.server, "strong"), ` ${visible(one.was)} → ${visible(one.is)}`))));
    });
    const element = h("div", { class: "page" }, head("Redis", sentence), history, cards);
    return { element, close };
  },
};
