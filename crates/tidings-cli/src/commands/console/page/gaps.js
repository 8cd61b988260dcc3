// Gaps: losses and failures of all members in the last hour, on one time line.

import { json } from "./api.js";
import { bars } from "./chart.js";
import { h, head, keyed, state, text } from "./dom.js";
import { clock, count, cut, number, visible } from "./format.js";
import { parameter, remember } from "./route.js";
import { button, filterField, matches, name, nodeName, poll } from "./widgets.js";

const MINUTES = 60;
const MOST = 500;

/** A gap or a failure as an item of a list. */
export function incident(one) {
  const isGap = one.kind === "gap";
  const sender = isGap && (one.sender || one.sender_name) ? h("small", {}, "of ", name(cut(nodeName(one.sender_name, one.sender), 60))) : null;
  const missed = isGap ? (one.missed == null ? "some missed" : `${number(one.missed)} missed`) : "failed";
  return h("li", { class: isGap ? "gap" : "failure" }, h("time", {}, clock(one.at)), state(isGap ? "bad" : "warn", missed),
    h("span", { class: "who" }, name(cut(nodeName(one.node_name, one.node), 60), "strong"), sender), name(cut(one.text ?? "", 500), "what"));
}

/** The number of incidents of a kind in each of the last 60 minutes. */
function perMinute(incidents, kind, now) {
  const minutes = new Array(MINUTES).fill(0);
  for (const one of incidents) {
    const minute = MINUTES - 1 - Math.floor((now - one.at) / 60000);
    if (one.kind === kind && minute >= 0 && minute < MINUTES) minutes[minute] += 1;
  }
  return minutes;
}

export const gaps = {
  title: "Gaps",
  open() {
    const sentence = h("p", { class: "sentence" }, "Reading …");
    const line = bars("Gaps and failures per minute, the last hour", ["gaps", "failures"]);
    const list = h("ul", { class: "incidents long" });
    const hint = h("p", { class: "empty", hidden: true });
    let known = { incidents: [], dropped: 0 };
    const kinds = ["", "gap", "failure"].map((kind) => button({ "": "All", gap: "Gaps", failure: "Failures" }[kind], () => { remember({ kind }); draw(); }));
    const draw = () => {
      const [kind, filter] = [parameter("kind"), parameter("filter")];
      kinds.forEach((one, index) => one.setAttribute("aria-pressed", String(["", "gap", "failure"][index] === kind)));
      const chosen = known.incidents.filter((one) => (kind === "" || one.kind === kind) && matches(filter, one.node_name ?? "", one.node ?? "", one.sender_name ?? "", one.text ?? ""));
      const now = Date.now();
      line.draw([perMinute(chosen, "gap", now), perMinute(chosen, "failure", now)]);
      const ofKind = (wanted) => chosen.filter((one) => one.kind === wanted).length;
      text(sentence, `${count(ofKind("gap"), "gap")} · ${count(ofKind("failure"), "failure")} in the last hour${chosen.length > MOST ? ` · the newest ${MOST} are listed` : ""}${known.dropped > 0 ? ` · ${number(known.dropped)} older ones are not kept` : ""}`);
      const times = new Map();
      keyed(list, chosen.slice(0, MOST), (one) => {
        const id = `${one.kind} ${one.at} ${one.node} ${one.sender} ${one.text}`;
        times.set(id, (times.get(id) ?? 0) + 1);
        return `${id} ${times.get(id)}`;
      }, incident);
      hint.hidden = chosen.length > 0;
      text(hint, known.incidents.length > 0 ? "Nothing passes the filter." : "The members reported no gap and no failure in the last hour.");
    };
    const close = poll(2000, async (signal) => {
      try {
        known = await json("/api/gaps", {}, signal);
        draw();
      } catch (error) {
        if (error.status) text(sentence, visible(error.message));
      }
    });
    const element = h("div", { class: "page" }, head("Gaps", sentence, filterField("Filter gaps and failures", "member, sender, text …", draw), h("div", { class: "tools", role: "group", "aria-label": "Kinds" }, kinds)),
      h("section", { class: "panel" }, line.element), h("section", { class: "panel flush" }, hint, list));
    return { element, close, readdress: draw };
  },
};
