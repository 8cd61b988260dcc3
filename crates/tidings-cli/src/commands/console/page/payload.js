// The field for a payload, as JSON.

import { h, text } from "./dom.js";
import { visible } from "./format.js";

/** Returns why a text is not JSON, or nothing. */
export function notJson(words) {
  try {
    JSON.parse(words);
    return "";
  } catch (error) {
    return `Not JSON: ${error.message}`;
  }
}

/** Makes the field: `element` is its part of the form, `value()` the payload as JSON in a text, `problem()` says why there
 * is none, and `set(words)` replaces the text. */
export function payloadField() {
  const input = h("textarea", { id: "send-payload", rows: 4, spellcheck: "false", autocomplete: "off", placeholder: "null", "aria-describedby": "send-payload-problem" });
  const remark = h("p", { class: "remark", id: "send-payload-problem" });
  const value = () => (input.value.trim() === "" ? "null" : input.value);
  const check = () => {
    const problem = notJson(value());
    text(remark, visible(problem));
    input.setAttribute("aria-invalid", String(problem !== ""));
    return problem;
  };
  input.addEventListener("change", check);
  input.addEventListener("input", () => { if (remark.textContent !== "") check(); });
  const element = h("div", { class: "field wide" }, h("label", { for: "send-payload" }, "Payload, as JSON"), input, remark);
  return { element, value, problem: check, set(words) { input.value = words; check(); }, focus: () => input.focus() };
}
