// Overview: who receives, rates, losses, servers, and what went wrong last.

import { json } from "./api.js";
import { chart, spark } from "./chart.js";
import { attribute, h, head, keyed, state, text } from "./dom.js";
import { fleet, SECONDS } from "./fleet.js";
import { age, bytes, clock, count, cut, number, rate, visible } from "./format.js";
import { incident } from "./gaps.js";
import { condition, name, poll } from "./widgets.js";

const LINES = 5;

/** A figure with its title, an optional sparkline, and a remark. */
function card(title, link) {
  const value = h("strong", {}, "–");
  const remark = h("small", {});
  const line = spark();
  const element = h("a", { class: "card", href: link }, h("span", { class: "title" }, title), value, remark, line.element);
  return { element, value, remark, line };
}

function show(one, value, remark, kind = null, history = null) {
  text(one.value, value);
  text(one.remark, remark);
  attribute(one.element, "data-kind", kind);
  attribute(one.line.element, "hidden", history ? null : "");
  if (history) one.line.draw(history);
}

/** The names with the most events in the last five minutes, and all others as one line. */
function series(history) {
  const sums = new Map();
  for (const second of history) {
    for (const [event, value] of second.names) sums.set(event, (sums.get(event) ?? 0) + value);
  }
  sums.delete("(others)");
  const top = [...sums].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, LINES).map(([event]) => event);
  const lines = top.map((event) => ({ name: cut(visible(event), 48), values: history.map((second) => (second.per_second == null ? null : second.names.get(event) ?? 0)) }));
  if (sums.size <= LINES) return lines;
  const others = history.map((second) => (second.per_second == null ? null : Math.max(0, second.per_second - top.reduce((sum, event) => sum + (second.names.get(event) ?? 0), 0))));
  return [...lines, { name: "all others", values: others }];
}

function memberTile(member) {
  const mark = h("span", { class: "is" });
  const figure = h("span", { class: "figure" });
  return Object.assign(h("li", {}, name(cut(member.name, 60), "strong"), figure, mark), { mark, figure });
}

function updateTile(tile, member) {
  const now = fleet.look.at;
  const is = condition(member, now);
  text(tile.figure, member.receives ? `${rate(member.received_rate)}/s` : visible(cut(is.why, 80)));
  if (tile.word !== is.word) tile.mark.replaceChildren(state(is.kind, is.word));
  tile.word = is.word;
}

function serverRow(server) {
  const remark = server.error ? `unreachable: ${server.error}`
    : server.role === "replica" ? (server.is_connected === false ? "not connected to its master" : `${bytes(server.lag_bytes)} behind`)
      : [server.clients == null ? "" : count(server.clients, "client"), server.used_memory == null ? "" : bytes(server.used_memory)].filter(Boolean).join(" · ");
  const kind = server.error || server.is_connected === false ? "bad" : "good";
  return h("li", {}, name(server.server, "strong"), h("span", { class: "figure" }, visible(remark)), state(kind, server.role ?? (server.error ? "unreachable" : "unknown")));
}

export const overview = {
  title: "Overview",
  open() {
    const sentence = h("p", { class: "sentence" });
    const cards = { events: card("Events per second", "#/events"), members: card("Members that receive", "#/members"), failures: card("Failures in the last hour", "#/gaps"), missed: card("Missed in the last hour", "#/gaps"), dropped: card("Dropped, queue full", "#/members") };
    const rates = chart("Events per second by name, the last five minutes", SECONDS);
    const tiles = h("ul", { class: "tiles" });
    const servers = h("ul", { class: "tiles" });
    const problems = h("ul", { class: "incidents" });
    const element = h("div", { class: "page" }, head("Overview", sentence),
      h("div", { class: "cards" }, Object.values(cards).map((one) => one.element)),
      h("section", { class: "panel" }, h("h2", {}, "Events per second by name"), rates.element),
      h("div", { class: "columns" },
        h("section", { class: "panel" }, h("h2", {}, "Members"), tiles),
        h("section", { class: "panel" }, h("h2", {}, "Redis"), servers),
        h("section", { class: "panel wide" }, h("h2", {}, "What went wrong last"), problems)));
    const close = poll(2000, async (signal) => {
      const answer = await json("/api/servers", {}, signal);
      servers.replaceChildren(...(answer.error ? [h("li", {}, visible(answer.error))] : answer.servers.slice(0, 24).map(serverRow)));
    });
    return { element, close, update: () => update({ sentence, cards, rates, tiles, problems }) };
  },
};

function update(page) {
  const look = fleet.look;
  if (!look) { text(page.sentence, "Waiting for the first look at the fleet …"); return; }
  const { totals, rates } = look;
  const bad = look.members.filter((member) => member.receives === false);
  const worst = bad.slice(0, 3).map((member) => `${cut(member.name, 40)} (${condition(member, look.at).why})`).join(", ");
  text(page.sentence, visible(`${count(totals.members, "member")} · ${number(totals.receive)} receive${bad.length > 0 ? ` · ${number(bad.length)} not: ${worst}` : ""}`));
  attribute(page.tiles, "data-empty", "Processes with a bus appear here as they start.");
  attribute(page.sentence, "data-kind", bad.length > 0 ? "bad" : null);
  show(page.cards.events, rate(rates?.per_second), count(rates?.names?.length ?? 0, "event name"), null, fleet.history.map((second) => second.per_second));
  show(page.cards.members, `${number(totals.receive)} of ${number(totals.members)}`, bad.length > 0 ? `${number(totals.not_receiving)} not receiving` : totals.unknown > 0 ? `${number(totals.unknown)} unknown` : totals.members > 0 ? "all of them" : "no members yet", bad.length > 0 ? "bad" : null);
  const failure = look.problems.find((one) => one.kind === "failure");
  show(page.cards.failures, number(totals.failures_hour), failure ? visible(`last ${age(failure.at, look.at)} ago in ${failure.node_name ?? "?"}`) : totals.failures > 0 ? `${number(totals.failures)} before` : "no failure", totals.failures_hour > 0 ? "warn" : null, fleet.history.map((second) => second.failures));
  const gap = look.problems.find((one) => one.kind === "gap");
  show(page.cards.missed, number(totals.missed_hour), gap ? visible(`last ${age(gap.at, look.at)} ago in ${gap.node_name ?? "?"}`) : "no gap", totals.missed_hour > 0 ? "bad" : null);
  show(page.cards.dropped, number(totals.dropped), "since the members started", totals.dropped > 0 ? "bad" : null);
  page.rates.draw(series(fleet.history));
  const order = [...look.members].sort((a, b) => (a.receives === true) - (b.receives === true) || (a.name < b.name ? -1 : 1));
  keyed(page.tiles, order.slice(0, 24), (member) => member.id, memberTile, updateTile);
  keyed(page.problems, look.problems.slice(0, 10), (one) => `${one.kind} ${one.at} ${one.node} ${one.text}`, (one) => incident(one));
  if (look.problems.length === 0 && !page.problems.firstChild) attribute(page.problems, "data-empty", `Nothing since ${clock(fleet.about?.started)}.`);
}
