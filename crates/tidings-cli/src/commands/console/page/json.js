// A payload as text: JSON with colours within a budget of nodes, binary as hex.

import { cut, visible } from "./format.js";
import { h } from "./dom.js";

const MOST_NODES = 4096;
const LONGEST_TEXT = 65536;

/** Returns a `pre` with the value, indented; what exceeds the budget is named, not shown. */
export function pretty(value) {
  const block = h("pre", { class: "json", tabindex: "0" });
  const writer = { block, nodes: 0, characters: 0, isFull: false };
  write(writer, value, 0);
  if (writer.isFull) block.append(h("span", { class: "cut" }, `\n… cut here: ${MOST_NODES} nodes and 64 KiB are shown at most`));
  return block;
}

function put(writer, kind, words) {
  const left = LONGEST_TEXT - writer.characters;
  if (left <= 0) { writer.isFull = true; return; }
  if (words.length > left) writer.isFull = true;
  const shown = cut(words, left);
  writer.characters += shown.length;
  writer.block.append(kind ? h("span", { class: kind }, shown) : shown);
}

function write(writer, value, depth) {
  writer.nodes += 1;
  if (writer.nodes > MOST_NODES || writer.isFull) { writer.isFull = true; return; }
  if (value === null || typeof value === "boolean") put(writer, "word", String(value));
  else if (typeof value === "number" || typeof value === "bigint") put(writer, "num", String(value));
  else if (typeof value === "string") put(writer, "str", quoted(value));
  else if (depth > 64) put(writer, "cut", "… nested deeper than 64");
  else if (Array.isArray(value)) group(writer, "[", "]", value.map((item) => [null, item]), depth);
  else group(writer, "{", "}", Object.entries(value), depth);
}

function group(writer, opening, closing, entries, depth) {
  if (entries.length === 0) { put(writer, null, opening + closing); return; }
  put(writer, null, opening);
  for (const [index, [key, item]] of entries.entries()) {
    if (writer.isFull) return;
    put(writer, null, `${index > 0 ? "," : ""}\n${"  ".repeat(depth + 1)}`);
    if (key !== null) { put(writer, "key", quoted(key)); put(writer, null, ": "); }
    write(writer, item, depth + 1);
  }
  put(writer, null, `\n${"  ".repeat(depth)}${closing}`);
}

const quoted = (words) => visible(JSON.stringify(cut(words, LONGEST_TEXT)));

/** Returns one line of a value, at most `limit` characters long; large values are not read to their end. */
export function line(value, limit) {
  const parts = [];
  let left = limit;
  const add = (words) => { parts.push(words); left -= words.length; };
  const walk = (item, depth) => {
    if (left <= 0) return;
    if (typeof item === "string") add(JSON.stringify(item.slice(0, left + 1)));
    else if (item === null || typeof item !== "object") add(String(item));
    else if (depth > 8) add("…");
    else {
      const isList = Array.isArray(item);
      add(isList ? "[" : "{");
      let isFirst = true;
      for (const key in item) {
        if (left <= 0) break;
        add((isFirst ? "" : ",") + (isList ? "" : `${JSON.stringify(key.slice(0, left + 1))}:`));
        walk(item[key], depth + 1);
        isFirst = false;
      }
      add(isList ? "]" : "}");
    }
  };
  walk(value, 0);
  return visible(cut(parts.join(""), limit));
}

/** Returns hexadecimal digits in rows of 16 bytes with their offset and their ASCII characters. */
export function hexDump(digits) {
  const rows = [];
  const end = Math.min(digits.length, 2 * MOST_NODES);
  for (let at = 0; at < end; at += 32) {
    const pairs = digits.slice(at, at + 32).match(/../g) ?? [];
    const characters = pairs.map((pair) => { const code = parseInt(pair, 16); return code > 31 && code < 127 ? String.fromCharCode(code) : "."; });
    rows.push(`${(at / 2).toString(16).padStart(6, "0")}  ${pairs.join(" ").padEnd(47)}  ${characters.join("")}`);
  }
  if (end < digits.length) rows.push(`… ${(digits.length - end) / 2} more bytes`);
  return h("pre", { class: "json", tabindex: "0" }, rows.join("\n"));
}
