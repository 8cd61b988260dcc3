// The dialog that changes a stored value: it shows the value once more before, as it is now.

import { attribute, h, text } from "./dom.js";
import { cut, visible } from "./format.js";
import { notJson } from "./payload.js";
import { button } from "./widgets.js";

/** Checks for the texts of fields: each returns why a text is not valid, or nothing. */
export const checks = { json: notJson, whole: (words) => (/^[+-]?\d{1,19}$/.test(words.trim()) ? "" : "Not a whole number."), any: (words) => (words === "" ? "Empty." : "") };

/** The error of a change whose dialog was closed before the answer. It stays, on each page, until it is dismissed. */
export const failed = h("div", { class: "banner", role: "alert", hidden: true });

/** Shows the error of a change, with the title of its dialog. */
function report(title, why) {
  failed.replaceChildren(h("span", {}, `${title}: ${why} `), button("Dismiss", () => { failed.hidden = true; }));
  failed.hidden = false;
}

/** Makes a field of the dialog; `kind` names its check. */
function field({ id, label, kind }) {
  const input = h(kind === "json" ? "textarea" : "input", { id, rows: kind === "json" ? 8 : null, inputmode: kind === "whole" ? "numeric" : null, autocomplete: "off", spellcheck: "false", "aria-describedby": "change-problem" });
  return { input, check: checks[kind], element: h("div", { class: "field" }, h("label", { for: id }, label), input) };
}

/**
 * Opens the dialog. `read()` gets the value, `show(value)` returns elements for it, and `initial(value)` the text for the
 * last of the `fields`. `send(value, texts)` makes the change: if the value has changed since, the new one is shown, and
 * nothing else happened. `done(answer)` is called after the change.
 */
export function change({ title, word, kind = "primary", fields = [], read, show, initial = () => "", send, done }) {
  const made = fields.map(field);
  const before = h("div", { class: "before" });
  const problem = h("p", { class: "remark problem", id: "change-problem", role: "alert" });
  const submit = h("button", { class: kind }, word);
  const heading = h("h2", { id: "change-title" }, ...title);
  const dialog = h("dialog", { class: "change", "aria-labelledby": "change-title" });
  let value = null, isBusy = true;

  const shown = (next) => {
    value = next;
    before.replaceChildren(...(next === null ? [] : show(next)).filter(Boolean));
  };
  const wait = (isWaiting) => {
    isBusy = isWaiting;
    attribute(submit, "aria-disabled", isWaiting ? "true" : null);
  };
  const reason = (error) => visible(cut(error.status ? error.message : "The console does not answer: look whether the value has changed.", 500));
  const fail = (error) => text(problem, reason(error));

  const make = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    const wrong = made.map((one) => one.check(one.input.value)).find((words) => words !== "") ?? "";
    text(problem, visible(wrong));
    if (wrong !== "") return;
    wait(true);
    let answer;
    try {
      answer = await send(value, made.map((one) => one.input.value));
    } catch (error) {
      wait(false);
      if (!dialog.open) { report(heading.textContent, reason(error)); return; }
      fail(error);
      if (error.answer?.current) shown(error.answer.current);
      return;
    }
    dialog.close();
    done(answer);
  };

  dialog.append(h("form", { onsubmit: make }, heading, before, made.map((one) => one.element), problem,
    h("div", { class: "tools" }, submit, button("Cancel", () => dialog.close()))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  read().then((next) => {
    shown(next);
    const last = made.at(-1);
    if (last && last.input.value === "") last.input.value = initial(next);
    wait(false);
  }, fail);
}

/** Closes the dialog, as another page is shown. */
export const closeChange = () => document.querySelector("dialog.change")?.close();
