// The form that sends an event, and who handled it.

import { post } from "./api.js";
import { watchContracts } from "./contracts.js";
import { attribute, h, state, text } from "./dom.js";
import { fleet } from "./fleet.js";
import { count, cut, duration, short, visible } from "./format.js";
import { formField } from "./form.js";
import { button, name } from "./widgets.js";

/** The members of one outcome that are named; the others are counted. */
const MOST_NAMED = 50;
/** The status of an answer that a receiver cannot read the payload. */
const UNREADABLE = 422;
/** The members and roles that can be chosen. */
const MOST_RECEIVERS = 500;

let panel = null;
/** The contracts of the members, as they reported them. */
let known = null;

/** The form. It keeps what was typed while other pages are shown. */
export const sendPanel = () => (panel ??= make());

/** The names that the members declare, and whether a handler takes every name. */
function declared() {
  const names = new Set();
  for (const member of fleet.look?.members ?? []) {
    for (const handler of member.inspection?.handlers ?? []) handler.events.forEach((event) => names.add(event));
  }
  const takesAll = names.delete("*");
  return { names, takesAll };
}

const isEvent = (one) => one.kind === "event" || one.kind === "request";

/** The hashes of the contracts with an event, if one of them has its schema. */
const withSchema = (event) => (known?.places ?? []).filter((one) => one.name === event && isEvent(one) && one.has_schema).flatMap((one) => one.contracts).map((index) => known.contracts[index].hash).join();

/** The first member of the newest of these contracts, with its version. */
const nameOf = (hashes) => known?.contracts.findLast((one) => hashes.includes(one.hash))?.members[0] ?? "a member";

/** A remark on a name that no member declares; it can be sent. */
function doubt(event) {
  const { names, takesAll } = declared();
  return event === "" || takesAll || names.size === 0 || names.has(event) ? "" : "No member declares an event of this name.";
}

/** The receivers that can be chosen: `[value, words]` in groups. */
function receivers() {
  const members = fleet.look?.members ?? [];
  const roles = [...new Set(members.map((member) => member.role).filter(Boolean))].sort();
  const times = new Map();
  for (const member of members) times.set(member.name, (times.get(member.name) ?? 0) + 1);
  const named = (member) => (times.get(member.name) > 1 ? `${member.name} (${short(member.id)})` : member.name);
  return [["Everybody", [["all", "all"], ["others", "all others"]]], ["Role", roles.map((role) => [`role:${role}`, role])],
    ["Member", members.map((member) => [member.id, named(member)])]];
}

function fillReceivers(select) {
  const groups = receivers();
  const source = JSON.stringify(groups);
  if (select.source === source) return;
  select.source = source;
  const chosen = select.value || "all";
  // A member that has left stays chosen: otherwise the next event would go to all.
  const isThere = groups.some(([, options]) => options.slice(0, MOST_RECEIVERS).some(([value]) => value === chosen));
  if (!isThere) groups.push(["Not there any more", [[chosen, select.selectedOptions[0]?.textContent ?? chosen]]]);
  select.replaceChildren(...groups.filter(([, options]) => options.length > 0).map(([label, options]) => h("optgroup", { label },
    options.slice(0, MOST_RECEIVERS).map(([value, words]) => h("option", { value, selected: value === chosen }, visible(cut(words, 120)))))));
}

function fillNames(list) {
  const ofContracts = (known?.places ?? []).filter(isEvent).map((one) => one.name);
  const names = [...declared().names.union(new Set(ofContracts))].sort().slice(0, MOST_RECEIVERS);
  const source = JSON.stringify(names);
  if (list.source === source) return;
  list.source = source;
  list.replaceChildren(...names.map((event) => h("option", { value: event })));
}

/** The members of one outcome. */
function outcome(kind, words, members, why = () => "") {
  if (members.length === 0) return null;
  const items = members.slice(0, MOST_NAMED).map((one) => h("li", {}, name(cut(one.name ?? `node ${short(one.node)}`, 120), "strong"), why(one) ? h("small", {}, " ", visible(cut(why(one), 300))) : null));
  if (members.length > MOST_NAMED) items.push(h("li", {}, `and ${members.length - MOST_NAMED} more`));
  return h("div", { class: "outcome" }, state(kind, `${members.length} ${words}`), h("ul", {}, items));
}

/** Who handled the event, who failed, and who was silent. */
function receipt({ event, summary }) {
  const failed = summary.failed.map((one) => ({ ...one.responder, error: one.error }));
  const parts = [
    outcome("good", "handled", summary.handled),
    outcome("bad", "failed", failed, (one) => one.error),
    outcome("bad", "silent", summary.timed_out, () => `no answer within ${duration(summary.timeout)}`),
    outcome("warn", "left", summary.left),
    outcome("off", "without a handler", summary.without_handler),
  ].filter(Boolean);
  const nobody = parts.length === 0 ? h("p", { class: "remark" }, "No member received it.") : null;
  const dropped = summary.dropped > 0 ? h("p", { class: "remark" }, `${count(summary.dropped, "response")} arrived too fast and was dropped.`) : null;
  return [h("h2", {}, "Sent ", name(cut(event, 160), "code")), ...parts, nobody, dropped].filter(Boolean);
}

function make() {
  const input = h("input", { id: "send-event", list: "send-names", required: true, autocomplete: "off", spellcheck: "false", maxlength: 255, placeholder: "user.renamed", "aria-describedby": "send-doubt" });
  const names = h("datalist", { id: "send-names" });
  const to = h("select", { id: "send-to" });
  const remark = h("p", { class: "remark", id: "send-doubt" });
  const payload = formField();
  const submit = h("button", { class: "primary" }, "Send and wait for handlers");
  const result = h("div", { class: "receipt", id: "send-result", role: "status" });
  const named = () => { text(remark, doubt(input.value)); payload.show(input.value, withSchema(input.value), nameOf); };
  input.addEventListener("input", named);

  let isSending = false, stop = null;
  const send = async (body) => {
    if (isSending) return;
    isSending = true;
    attribute(submit, "aria-disabled", "true");
    result.replaceChildren(h("p", {}, "Sending …"));
    try {
      const answer = await post("/api/send", body);
      result.replaceChildren(...receipt(answer));
    } catch (error) {
      const why = h("p", { class: "remark" }, visible(cut(error.status ? error.message : "The console does not answer: the event may have been sent.", 1000)));
      const anyway = error.status === UNREADABLE ? h("div", { class: "tools" }, button("Send anyway", () => send({ ...body, force: true }))) : "";
      result.replaceChildren(why, anyway);
    }
    attribute(submit, "aria-disabled", null);
    isSending = false;
  };

  const submitted = (event) => {
    event.preventDefault();
    if (payload.problem() === "") send({ event: input.value, to: to.value, payload: payload.value() });
    else payload.focus();
  };
  // "Send anyway" is for the event that was refused, and not for the one that is typed now.
  const form = h("form", { class: "form", onsubmit: submitted, oninput: () => result.querySelector("button")?.remove() },
    h("div", { class: "field" }, h("label", { for: "send-event" }, "Event"), input, names, remark),
    h("div", { class: "field" }, h("label", { for: "send-to" }, "To"), to),
    payload.element, h("div", { class: "tools wide" }, submit));
  const element = h("details", { class: "panel send", id: "send", hidden: true }, h("summary", {}, "Send an event"), form, result);
  const close = () => { stop?.(); stop = null; };
  /** Members are asked while the form is open. */
  const watch = () => {
    if (!element.open || !element.isConnected) close();
    else stop ??= watchContracts((answer) => { known = answer; fillNames(names); named(); });
  };
  element.addEventListener("toggle", watch);
  const update = () => {
    element.hidden = !fleet.about?.allows_send;
    if (element.hidden) return;
    watch();
    fillNames(names);
    fillReceivers(to);
  };
  update();
  return { element, update, close };
}
