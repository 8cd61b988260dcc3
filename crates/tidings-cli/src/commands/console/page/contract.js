// Contract: what events, values, maps and counters look like in the fleet now, and which members cannot read each other.

import { stringify } from "./api.js";
import { place, save, watchContracts } from "./contracts.js";
import { attribute, h, head, keyed, renew, state, table, text } from "./dom.js";
import { fleet } from "./fleet.js";
import { bytes, count, cut, number, visible } from "./format.js";
import { schemas } from "./outline.js";
import { parameter, remember } from "./route.js";
import { button, fact, filterField, matches, name } from "./widgets.js";

const GROUPS = [["event", "Events"], ["request", "Requests"], ["value", "Values"], ["map", "Maps"], ["counter", "Counters"]];
const PAGE = 500;
const WITHOUT_SCHEMA = "No contract is known. Switch the feature “schema” of tidings on in your programs, and derive JsonSchema for the payloads.";

/** The names of members, and how many more there are. */
const listed = (names, total) => visible(`${names.join(", ")}${total > names.length ? ` and ${number(total - names.length)} more` : ""}`);

/** The cells of a contract: its members, and what can be saved of it. */
function contractCells(one, fail) {
  const saves = [["asyncapi", "AsyncAPI"], ["jsonschema", "JSON Schema"]].map(([form, words]) =>
    button(words, () => save(form, one.hash).then(() => fail(""), (error) => fail(error.message)), { "aria-label": `Save ${words} of ${one.hash}` }));
  return [h("th", { scope: "row" }, h("code", {}, one.hash)), h("td", { "data-label": "Members" }, listed(one.members, one.count)),
    ...(one.error ? [h("td", { colspan: 2 }, state("bad", "not known"), h("small", {}, visible(cut(one.error, 500))))] : [h("td", { class: "right", "data-label": "Size" }, bytes(one.bytes)), h("td", {}, h("div", { class: "tools" }, saves))])];
}

/** Members that cannot read each other, by what rule, and what to do instead. */
function breakItem(one) {
  const rules = [one.rule, one.cause].filter(Boolean).map((rule) => h("span", { class: "tag" }, rule));
  const [kind, word] = one.allowed != null ? ["off", "allowed"] : one.level === "break" ? ["bad", "breaks"] : ["warn", "warning"];
  return h("li", {}, h("div", {}, state(kind, word), " ", name(cut(`${one.kind} ${one.name}`, 200), "strong"), " ", name(one.path, "code"), " ", rules),
    h("p", {}, name(one.text)), one.allowed != null ? h("p", { class: "sentence" }, visible(`Allowed: ${cut(one.allowed, 500)}`)) : one.instead ? h("p", { class: "sentence" }, "Instead: ", visible(one.instead)) : null);
}

/** The members that have a handler for an event now. */
function handlers(event) {
  const members = fleet.look?.members ?? [];
  return members.filter((member) => member.inspection?.handlers.some((handler) => handler.events.includes(event) || handler.events.includes("*"))).map((member) => member.name);
}

/** The members with these contracts. */
function membersOf(answer, hashes) {
  const chosen = answer.contracts.filter((one) => hashes.includes(one.hash));
  return listed(chosen.flatMap((one) => one.members), chosen.reduce((sum, one) => sum + one.count, 0));
}

/** One form of a name, in the contracts that have it. */
function form(answer, kind, key, one) {
  const isEvent = kind === "event" || kind === "request";
  const facts = h("dl", { class: "facts" }, fact(one.hashes.length === 1 ? "Contract" : "Contracts", h("code", {}, one.hashes.join(", "))), fact(isEvent ? "May be sent by" : "Used by", membersOf(answer, one.hashes)));
  const add = (term, values) => { if (values?.length > 0) facts.append(fact(term, visible(values.join(", ")))); };
  add("Since", one.since ? [one.since] : []);
  add("Functions", one.handled_by);
  add("Further names of fields", one.alias);
  return [facts, ...(one.payload ? schemas(isEvent ? "Payload" : kind === "map" ? "Entry" : "Value", one.payload) : []), ...(one.response ? schemas("Response", one.response) : [])];
}

/** All of a name: who handles it, the breaks, and its forms. */
function details(answer, kind, key, { forms, not_shown: notShown }) {
  const breaks = answer.breaks.filter((one) => one.name === key && matchesKind(one.kind, kind));
  const facts = h("dl", { class: "facts" });
  if (kind === "event" || kind === "request") {
    const names = handlers(key);
    facts.append(fact("Handled by", names.length > 0 ? listed(names.slice(0, 8), names.length) : "nobody now"));
  }
  return [facts, breaks.length > 0 ? h("ul", { class: "breaks" }, breaks.map(breakItem)) : null,
    forms.length > 1 ? h("p", { class: "remark" }, `${count(forms.length + notShown, "form")} of it run now.`) : null,
    ...forms.flatMap((one) => h("section", { class: "form-of" }, form(answer, kind, key, one)))];
}

/** A break that no exception of the project allows. */
const isBreak = (one) => one.level === "break" && one.allowed == null;

/** True if a break of this kind belongs to a name of that kind. */
const matchesKind = (ofBreak, kind) => ofBreak === kind || (kind === "request" && ["event", "response"].includes(ofBreak));

/** The sentence in the head: the number of each. */
function summary(answer) {
  const breaks = answer.breaks.filter(isBreak).length + answer.breaks_not_shown;
  const of = (kind) => answer.places.filter((one) => one.kind === kind).length;
  const parts = [["event", "event"], ["request", "request"], ["value", "value"], ["map", "map"], ["counter", "counter"]].filter(([kind]) => of(kind) > 0).map(([kind, noun]) => count(of(kind), noun));
  return [count(answer.contracts.length + answer.contracts_not_shown, "contract"), ...parts, `${breaks > 0 ? count(breaks, "break") : "no breaks"}${answer.is_partial ? " found; not all were compared" : ""}`].join(" · ");
}

/** Remarks on all that is not shown or not compared. */
function remarks(answer) {
  const all = [];
  if (answer.without_count > 0) all.push(`No contract is known of ${answer.without.map((one) => `${one.name} (${one.why})`).join(", ")}${answer.without_count > answer.without.length ? ` and ${number(answer.without_count - answer.without.length)} more` : ""}.`);
  if (answer.contracts_not_shown > 0) all.push(`${count(answer.contracts_not_shown, "more contract")} with fewer members: not shown and not compared.`);
  if (answer.places_not_shown > 0) all.push(`${count(answer.places_not_shown, "more name")}: not shown.`);
  for (const words of answer.not_compared) all.push(`Not compared: ${words}.`);
  return all.map((words) => h("p", { class: "remark" }, visible(cut(words, 1200))));
}

export const contract = {
  title: "Contract",
  open() {
    const sentence = h("p", { class: "sentence" }, "Asking the members …");
    const problem = h("p", { class: "remark problem", role: "alert" });
    const hint = h("p", { class: "empty", hidden: true }, WITHOUT_SCHEMA);
    const rows = h("tbody", {});
    const about = h("div", {});
    const running = h("section", { class: "panel flush stack", hidden: true }, table("Contracts that run now", ["Contract", "Members", ["Size", "right"], "Save"], rows));
    const list = h("ul", { class: "breaks" });
    const more = h("p", { class: "remark" });
    const broken = h("section", { class: "panel", hidden: true }, h("h2", {}, "Members that cannot read each other"), list, more);
    const tree = h("nav", { class: "tree", "aria-label": "Names" });
    const groups = GROUPS.map(([kind, title]) => ({ kind, title, heading: h("h2", {}), list: h("ul", {}) }));
    for (const group of groups) tree.append(group.heading, group.list);
    const detail = h("section", { class: "panel detail", tabindex: "-1" });
    const split = h("div", { class: "split", hidden: true }, h("div", { class: "panel side" }, tree), detail);
    let answer = null, isClosed = false;

    const fail = (words) => text(problem, visible(cut(words, 500)));
    const pick = (kind, key) => { remember({ kind, name: key }); draw(); one(); };
    const draw = () => {
      const filter = parameter("filter");
      for (const group of groups) {
        const all = answer.places.filter((it) => it.kind === group.kind);
        const chosen = all.filter((it) => matches(filter, it.name));
        group.heading.hidden = chosen.length === 0;
        text(group.heading, `${group.title} ${chosen.length === all.length ? number(all.length) : `${number(chosen.length)} of ${number(all.length)}`}${chosen.length > PAGE ? `: the first ${PAGE}` : ""}`);
        keyed(group.list, chosen.slice(0, PAGE), (it) => it.name, (it) => h("li", {}, button(visible(cut(it.name, 200)), () => pick(it.kind, it.name))), (item, it) => {
          attribute(item.firstChild, "aria-current", it.kind === parameter("kind") && it.name === parameter("name") ? "true" : null);
          attribute(item.firstChild, "data-kind", answer.breaks.some((other) => isBreak(other) && other.name === it.name && matchesKind(other.kind, it.kind)) ? "bad" : null);
        });
      }
    };
    const one = async () => {
      const [kind, key] = [parameter("kind"), parameter("name")];
      if (kind === "" || key === "") { renew(detail, "", () => [h("p", { class: "empty" }, "Choose a name.")]); return; }
      let parts, shown;
      try {
        const forms = await place(kind, key);
        shown = [forms, answer.breaks, handlers(key)];
        parts = () => details(answer, kind, key, forms);
      } catch (error) {
        shown = error.status ? error.message : "The console does not answer.";
        parts = () => [h("p", { class: "remark" }, visible(cut(shown, 500)))];
      }
      if (isClosed || kind !== parameter("kind") || key !== parameter("name")) return;
      renew(detail, stringify([kind, key, shown]), () => [h("h2", {}, h("small", {}, `${kind} `), name(cut(key, 300))), ...parts().filter(Boolean)]);
    };
    const take = (next, error) => {
      fail(error);
      if (!next || isClosed) return;
      answer = next;
      const hasAny = answer.contracts.length > 0;
      text(sentence, hasAny ? summary(answer) : "");
      hint.hidden = hasAny;
      running.hidden = split.hidden = !hasAny;
      keyed(rows, answer.contracts, (it) => it.hash, () => h("tr", { class: "member" }), (row, it) => renew(row, stringify(it), () => contractCells(it, fail)));
      about.replaceChildren(...remarks(answer));
      broken.hidden = answer.breaks.length === 0;
      renew(list, stringify(answer.breaks), () => answer.breaks.map(breakItem));
      const rest = [[answer.breaks_not_shown, "more break"], [answer.warnings_not_shown, "more warning"]].filter(([number]) => number > 0);
      text(more, rest.map(([number, noun]) => `${count(number, noun)}.`).join(" "));
      draw();
      one();
    };
    const element = h("div", { class: "page" }, head("Contract", sentence, filterField("Filter names", "name …", () => answer && draw())), problem, hint, about, running, broken, split);
    const stop = watchContracts(take);
    return { element, close: () => { isClosed = true; stop(); }, readdress: () => { if (answer) { draw(); one(); } } };
  },
};
