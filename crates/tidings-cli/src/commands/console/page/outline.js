// What is written and read under a name, as a table of its fields.

import { h, table } from "./dom.js";
import { cut, visible } from "./format.js";
import { pretty } from "./json.js";
import { name } from "./widgets.js";

/** The parts of an outline as rows: `[path, outline, whether it is required]`. */
function rows(outline, path, isRequired, into) {
  into.push([path, outline, isRequired]);
  for (const field of outline.fields ?? []) rows(field, `${path}.${field.name}`, field.is_required, into);
  if (outline.item) rows(outline.item, `${path}[]`, null, into);
  if (outline.value) rows(outline.value, `${path}{}`, null, into);
  for (const [index, variant] of (outline.variants ?? []).entries()) rows(variant, `${path}(${index + 1})`, null, into);
  return into;
}

/** A type in words; a choice with its texts. */
function type(outline) {
  const values = outline.values?.map((value) => name(cut(value, 80), "tag")) ?? [];
  return h("td", {}, values.length > 0 ? values : visible(outline.words), outline.is_nullable ? " or null" : "");
}

function fields(caption, outline) {
  const all = rows(outline, "", true, []);
  // An object is its fields.
  const listed = all.length > 1 && outline.fields ? all.slice(1) : all;
  const body = listed.map(([path, part, isRequired]) => h("tr", {}, h("th", { scope: "row" }, name(cut(path || ".", 300), "code")), type(part),
    h("td", {}, isRequired === null ? "" : isRequired ? "required" : "optional")));
  return table(caption, ["Part", "Type", "Needed"], h("tbody", {}, body));
}

/** The schemas of one place: what is written and what is read. */
export function schemas(what, sides) {
  if (sides.error) return [h("h3", {}, what), h("p", { class: "remark" }, visible(cut(sides.error, 500)))];
  if (!sides.writes && !sides.reads) return [h("h3", {}, what), h("p", { class: "sentence" }, sides.is_opaque ? "It has no schema, on purpose." : "It has no schema: its type does not derive JsonSchema.")];
  const parts = sides.is_same ? [["written and read", sides.reads]] : [["as it is written", sides.writes], ["as it is read", sides.reads]];
  const shown = parts.filter(([, outline]) => outline).flatMap(([how, outline]) => [h("h3", {}, `${what}, ${how}`), fields(`${what}, ${how}`, outline)]);
  const raw = h("details", {}, h("summary", {}, "JSON Schema"));
  raw.addEventListener("toggle", () => {
    if (raw.open && raw.childElementCount === 1) raw.append(sides.schemas ? pretty(sides.schemas) : h("p", { class: "remark" }, "It has more than 64 KiB: save the JSON Schema of the contract."));
  });
  return [...shown, raw];
}
