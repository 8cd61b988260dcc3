// Elements made with createElement and textContent; there is no other way here to make one.

const SVG = "http://www.w3.org/2000/svg";

/** Makes an element. Children are nodes or text; properties that start with `on` are listeners. */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Makes an SVG element. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** What an element is called: what has the focus has the same label after its area was drawn again. */
const label = (element) => `${element.localName} ${element.getAttribute("aria-label") ?? (element.localName === "button" ? element.textContent : "")}`;

/** Replaces the children of `area`. The focus goes to what takes the place of what had it, scrolled as that was, or else to the area. */
export function redraw(area, ...children) {
  const held = area.contains(document.activeElement) && document.activeElement !== area ? document.activeElement : null;
  const place = held && { scrollLeft: held.scrollLeft, scrollTop: held.scrollTop };
  area.replaceChildren(...children);
  if (!held) return;
  const next = [...area.querySelectorAll("button, input, summary, [tabindex]")].find((one) => label(one) === label(held)) ?? area;
  next.focus({ preventScroll: true });
  Object.assign(next, place);
}

/** Redraws `area` only if what it shows, a JSON text, is not what it showed: no click is lost on a button that is replaced. */
export function renew(area, shown, make) {
  if (area.shown === shown) return;
  area.shown = shown;
  redraw(area, ...make());
}

/** Sets a text only where it changed, so that a selection in it survives. */
export function text(element, value) {
  const next = String(value);
  if (element.textContent !== next) element.textContent = next;
}

/** Sets an attribute only where it changed; null removes it. */
export function attribute(element, name, value) {
  if (value == null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Keeps the children of `parent` equal to `items`: one element per key, made once, updated after.
 * Children up to `after` stay as they are. */
export function keyed(parent, items, key, make, update, after = null) {
  const known = parent.known ?? (parent.known = new Map());
  const seen = new Set();
  let place = after ? after.nextSibling : parent.firstChild;
  for (const item of items) {
    const id = key(item);
    if (seen.has(id)) continue;
    seen.add(id);
    let element = known.get(id);
    if (!element) known.set(id, element = make(item));
    update?.(element, item);
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
  }
  for (const [id, element] of known) {
    if (!seen.has(id)) { element.remove(); known.delete(id); }
  }
}

/** A state: a dot in its colour and the word for it. Kinds are good, warn, bad and off. */
export const state = (kind, word) => h("span", { class: `state ${kind}` }, word);

/** A page's head: its title and what stands beside it. */
export const head = (title, ...beside) => h("div", { class: "head" }, h("h1", {}, title), ...beside);

/** A table with a caption for screen readers; a column is a text, or [text, class]. */
export function table(caption, columns, body) {
  const cells = columns.map((column) => {
    const [name, kind] = Array.isArray(column) ? column : [column];
    return h("th", { scope: "col", class: kind }, name);
  });
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "hidden" }, caption), h("thead", {}, h("tr", {}, cells)), body));
}

/** What stands where nothing is to show. */
export const empty = (words) => h("p", { class: "empty" }, words);
