// The form for the payload of an event, made from what its readers take; anything else is JSON as text.

import { place } from "./contracts.js";
import { h, redraw, text } from "./dom.js";
import { cut, visible } from "./format.js";
import { notJson, payloadField } from "./payload.js";
import { button } from "./widgets.js";

/** The parts that contain each other, and all fields of a form; what is beyond is one field with JSON. */
const DEEPEST = 4;
const MOST_FIELDS = 100;

/** `-0` is a fraction for a reader of JSON. */
const INTEGER = /^(0|-?[1-9]\d*)$/;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/** The reason for which a text is not valid as a type, or nothing. */
const CHECKS = {
  integer: (words) => (INTEGER.test(words) ? "" : "Not a whole number."),
  number: (words) => (NUMBER.test(words) ? "" : "Not a number."),
  text: () => "",
  other: notJson,
};

/** A text of a field as JSON. Numbers stay as they were typed, so that none is rounded. */
const written = (kind, words) => (kind === "text" ? JSON.stringify(words) : words.trim());

/** The label of a part: its name and its type. */
const label = (part) => [h("bdi", {}, visible(cut(part.name, 120))), h("small", {}, ` ${visible(part.words)}${part.is_nullable ? " or null" : ""}${part.is_required ? "" : ", optional"}`)];

/** A field has `element`, `json()` as text or undefined if it is left out, and `wrong()`: the input that has to be changed. */
class Maker {
  fields = 0;

  make(part, depth = 0) {
    this.fields += 1;
    const isSmall = depth < DEEPEST && this.fields < MOST_FIELDS;
    if (part.kind === "null") return { element: h("p", { class: "remark" }, depth === 0 ? "The event has no payload." : `${visible(part.name)}: null`), json: () => "null", wrong: () => null };
    if (part.kind === "boolean") return this.choice(part, ["true", "false"].map((word) => [word, word]));
    if (part.kind === "choice") return this.choice(part, part.values.map((value) => [JSON.stringify(value), value]));
    if (part.kind === "object" && isSmall) return this.object(part, depth);
    if (part.kind === "list" && isSmall) return this.list(part, depth);
    return this.input(part, Object.hasOwn(CHECKS, part.kind) ? part.kind : "other");
  }

  input(part, kind) {
    const id = `send-field-${this.fields}`;
    const isText = kind === "text" || kind === "other";
    const input = h(isText ? "textarea" : "input", { id, rows: kind === "other" ? 3 : isText ? 1 : null, inputmode: kind === "integer" ? "numeric" : kind === "number" ? "decimal" : null, autocomplete: "off", spellcheck: "false", "aria-describedby": `${id}-problem` });
    const remark = h("p", { class: "remark", id: `${id}-problem` });
    const canBeLeftOut = !part.is_required || (part.is_nullable && kind !== "other");
    // An empty text can be a value, and spaces are a text.
    const empty = h("input", { type: "checkbox", id: `${id}-empty` });
    const choice = kind === "text" && canBeLeftOut ? h("small", { class: "choice" }, empty, h("label", { for: empty.id }, `as an empty text, not ${part.is_required ? "null" : "left out"}`)) : null;
    const isEmpty = () => (kind === "text" ? input.value === "" : input.value.trim() === "");
    const isLeftOut = () => isEmpty() && canBeLeftOut && !empty.checked;
    const problem = () => (isLeftOut() ? "" : isEmpty() && kind !== "text" ? "Needed." : CHECKS[kind](input.value.trim()));
    const show = () => {
      text(remark, visible(problem()));
      input.setAttribute("aria-invalid", String(problem() !== ""));
    };
    input.addEventListener("change", show);
    input.addEventListener("input", () => {
      if (choice) choice.hidden = !isEmpty();
      if (remark.textContent !== "") show();
    });
    return {
      element: h("div", { class: "field" }, h("label", { for: id }, label(part), kind === "other" ? h("small", {}, ", as JSON") : null), input, choice, remark),
      json: () => (isLeftOut() ? (part.is_required ? "null" : undefined) : written(kind, input.value)),
      wrong: () => { show(); return problem() === "" ? null : input; },
    };
  }

  choice(part, values) {
    const id = `send-field-${this.fields}`;
    const options = values.map(([value, words]) => [value, visible(cut(words, 120))]);
    if (part.is_nullable) options.push(["null", "null"]);
    if (!part.is_required) options.unshift(["", "– left out –"]);
    // A person answers, not the form.
    else if (options.length > 1) options.unshift(["", "– choose –"]);
    const select = h("select", { id, "aria-describedby": `${id}-problem` }, options.map(([value, words]) => h("option", { value }, words)));
    const remark = h("p", { class: "remark", id: `${id}-problem` });
    const wrong = () => {
      const isMissing = part.is_required && select.value === "";
      text(remark, isMissing ? "Needed." : "");
      select.setAttribute("aria-invalid", String(isMissing));
      return isMissing ? select : null;
    };
    select.addEventListener("change", wrong);
    return { element: h("div", { class: "field" }, h("label", { for: id }, label(part)), select, remark), json: () => (select.value === "" ? undefined : select.value), wrong };
  }

  object(part, depth) {
    const fields = part.fields.map((field) => [field.name, this.make(field, depth + 1)]);
    const json = () => `{${fields.map(([name, field]) => [name, field.json()]).filter(([, value]) => value !== undefined).map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`;
    const wrong = () => fields.map(([, field]) => field.wrong()).find(Boolean) ?? null;
    return this.group(part, depth, h("div", { class: "form" }, fields.map(([, field]) => field.element)), json, wrong);
  }

  list(part, depth) {
    const items = [];
    const list = h("div", { class: "items" });
    const draw = () => redraw(list, ...items.map((item, index) => h("div", { class: "item" }, item.element, button("Remove", () => { items.splice(index, 1); draw(); }, { "aria-label": `Remove item ${index + 1} of ${cut(part.name, 80)}` }))));
    const add = () => {
      const item = { ...part.item, name: "item", is_required: true };
      items.push(this.make(item, depth + 1));
      draw();
    };
    const more = h("div", { class: "tools" }, button("Add", add, { "aria-label": `Add an item to ${cut(part.name, 80)}` }));
    const json = () => `[${items.map((item) => item.json() ?? "null").join(",")}]`;
    return this.group(part, depth, h("div", {}, list, more), json, () => items.map((item) => item.wrong()).find(Boolean) ?? null);
  }

  /** A part with parts. One that need not be there has a box to tick. */
  group(part, depth, content, json, wrong) {
    const isFixed = part.is_required && !part.is_nullable;
    if (depth === 0 && isFixed) return { element: content, json, wrong };
    const id = `send-group-${this.fields}-${depth}-${cut(part.name, 40)}`;
    const box = h("input", { type: "checkbox", id });
    content.hidden = !isFixed;
    box.addEventListener("change", () => { content.hidden = !box.checked; });
    const isThere = () => isFixed || box.checked;
    return {
      element: h("fieldset", {}, h("legend", {}, isFixed ? label(part) : [box, h("label", { for: id }, label(part))]), content),
      json: () => (isThere() ? json() : part.is_required ? "null" : undefined),
      wrong: () => (isThere() ? wrong() : null),
    };
  }
}

/** The form of the newest contract with a handler of the event, or else of the newest that has its type. */
const chosen = (forms) => forms.find((one) => one.payload?.reads && one.handled_by?.length > 0) ?? forms.find((one) => one.payload?.reads);

/** Makes the field for a payload: with the fields of the event where its schema is known, and as JSON otherwise. */
export function formField() {
  const free = payloadField();
  const area = h("div", {});
  const whose = h("p", { class: "sentence" });
  /** The fields, the outline that they were made of, and their JSON before anything was typed, and when it became the text. */
  let made = null, source = "", blank = "", copied = "";
  let isFree = true, shown = "", asked = "";
  const use = (isNowFree) => {
    isFree = isNowFree;
    free.element.hidden = !isFree;
    area.hidden = isFree;
    text(other, isFree ? "As fields" : "As JSON");
    tools.hidden = made === null;
  };
  /** Copies the fields into the text. A text that was typed stays until fields were. */
  const toText = () => {
    const json = made.json();
    const isTyped = json !== blank && json !== copied;
    if (isTyped || free.value() === "null") {
      const wrong = made.wrong();
      if (wrong && isTyped) { wrong.focus(); return; }
      if (!wrong) { free.set(json); copied = json; }
    }
    use(true);
  };
  const other = button("As JSON", () => (isFree ? use(false) : toText()));
  const tools = h("div", { class: "tools" }, whose, other);
  const take = (outline) => {
    made = new Maker().make({ ...outline, name: "Payload", is_required: true });
    [source, blank, copied] = [JSON.stringify(outline), made.json(), ""];
    area.replaceChildren(made.element);
    // What somebody typed stays.
    use(free.value() !== "null");
  };
  /** Makes the fields of an event. `hashes` are the contracts that have a schema of it; fields with something typed stay. */
  const show = async (event, hashes, nameOf) => {
    if (event !== shown) {
      [shown, asked, made] = [event, "", null];
      use(true);
    }
    if (hashes === "" || hashes === asked) return;
    asked = hashes;
    const forms = await place("event", event).then((answer) => answer.forms, () => null);
    if (shown !== event || asked !== hashes) return;
    const form = chosen(forms ?? []);
    // It is asked for again.
    if (forms === null) asked = "";
    if (!form) return;
    const isOther = JSON.stringify(form.payload.reads) !== source;
    if (made && isOther && made.json() !== blank) {
      text(whose, visible(`${nameOf(form.hashes)} has another schema by now. Enter the name of the event again for its fields.`));
      return;
    }
    if (!made || isOther) take(form.payload.reads);
    text(whose, visible(form.handled_by?.length > 0 ? `The fields are those that ${nameOf(form.hashes)} reads.` : `The fields are those that ${nameOf(form.hashes)} has for this event.`));
  };
  use(true);
  return {
    element: h("div", { class: "wide payload" }, tools, area, free.element),
    value: () => (isFree ? free.value() : made.json()),
    problem: () => (isFree ? free.problem() : made.wrong() === null ? "" : "A field is not valid."),
    focus: () => (isFree ? free.focus() : made.wrong()?.focus()),
    show,
  };
}
