// The frame of the console: navigation, the state of the stream, the token, and the keyboard.

import { takeToken, token } from "./api.js";
import { closeChange, failed } from "./change.js";
import { contract } from "./contract.js";
import { attribute, h, text } from "./dom.js";
import { events } from "./events.js";
import { fleet, forget, stream, watch } from "./fleet.js";
import { visible } from "./format.js";
import { gaps } from "./gaps.js";
import { members } from "./members.js";
import { overview } from "./overview.js";
import { redis } from "./redis.js";
import { current } from "./route.js";
import { state } from "./state.js";

const PAGES = { overview, members, events, gaps, state, redis, contract };
const WORDS = { connecting: "connecting", live: "live", reconnecting: "reconnecting", hidden: "paused in the background", "token needed": "token needed" };

const main = document.getElementById("main");
const nav = document.getElementById("pages");
const live = document.getElementById("live");
const place = document.getElementById("place");
const mode = document.getElementById("mode");
const banner = h("p", { class: "banner", role: "alert", hidden: true });

let page = null;
let shown = "";

function navigation() {
  Object.entries(PAGES).forEach(([name, one], index) => {
    nav.append(h("a", { href: `#/${name}`, "aria-keyshortcuts": index + 1 }, h("span", {}, one.title), h("kbd", { "aria-hidden": "true" }, index + 1)));
  });
}

/** Shows the page of the address. */
function show() {
  const name = Object.hasOwn(PAGES, current().page) ? current().page : "overview";
  page?.close?.();
  closeChange();
  shown = name;
  page = PAGES[name].open();
  document.title = `${PAGES[name].title} · tidings`;
  [...nav.children].forEach((link, index) => attribute(link, "aria-current", Object.keys(PAGES)[index] === name ? "page" : null));
  nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  const isFirst = main.childElementCount === 0;
  main.replaceChildren(banner, failed, page.element);
  // What was pressed may be gone with its page; a screen reader begins to read here then.
  if (!isFirst && document.activeElement === document.body) main.focus({ preventScroll: true });
  stream(page.rows ?? null);
  update();
}

/** Shows the form for a token, and nothing else. */
function askForToken() {
  if (shown === "token") return;
  page?.close?.();
  closeChange();
  page = null;
  shown = "token";
  forget();
  const input = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", required: true });
  const again = (event) => {
    event.preventDefault();
    location.hash = input.value.trim().replace(/^.*#/, "").replace(/^\/+/, "");
  };
  main.replaceChildren(h("section", { class: "entry" }, h("h1", {}, "Token needed"),
    h("p", {}, token() ? "The console does not accept the token of this tab. It makes a new one at each start." : "This tab has no token."),
    h("p", {}, "Open the address that ", h("code", {}, "tidings console"), " printed, or enter its token here."),
    h("form", { onsubmit: again }, h("label", { for: "token" }, "Token"), h("div", { class: "pair" }, input, h("button", { class: "primary" }, "Open")))));
  document.title = "Token needed · tidings";
  input.focus();
}

function update() {
  const isRefused = fleet.status === "token needed";
  document.body.classList.toggle("refused", isRefused);
  attribute(live, "class", `live ${fleet.status.split(" ")[0]}`);
  text(live, WORDS[fleet.status]);
  attribute(live, "title", fleet.why || null);
  const about = fleet.about;
  text(place, about ? `${visible(about.namespace)} · ${visible(about.address)}` : "");
  mode.hidden = !about;
  text(mode, [about?.allows_send ? "may send" : "", about?.allows_write ? "may change" : ""].filter(Boolean).join(" · ") || "read-only");
  if (isRefused) { askForToken(); return; }
  const problem = fleet.status === "reconnecting" ? `Reconnecting: ${fleet.why}.` : fleet.look?.problem ? `The console does not receive events: ${fleet.look.problem}` : fleet.look?.members_error ? `The member list is old: ${fleet.look.members_error}` : "";
  text(banner, visible(problem));
  banner.hidden = problem === "";
  page?.update?.();
}

function address() {
  if (takeToken() || shown === "token") { forget(); show(); return; }
  const name = current().page || "overview";
  if (name === shown && page?.readdress) page.readdress();
  else show();
}

function key(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const isTyping = event.target.closest("input, textarea, select") !== null;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && isTyping) { event.target.blur(); return; }
  if (isTyping || shown === "token") return;
  const names = Object.keys(PAGES);
  if (event.key === "/") {
    event.preventDefault();
    document.getElementById("filter")?.focus();
  } else if (event.key === " " && page?.pause && !event.target.closest("button, a, summary, [tabindex='0']")) {
    event.preventDefault();
    page.pause();
  } else if (event.key >= "1" && event.key <= String(names.length)) {
    location.hash = `#/${names[event.key - 1]}`;
  }
}

document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
document.addEventListener("keydown", key);
window.addEventListener("hashchange", address);
navigation();
takeToken();
watch(update);
show();
