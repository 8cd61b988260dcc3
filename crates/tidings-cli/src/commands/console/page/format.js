// Numbers, times and sizes as text.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** A number with thousands separators; a dash for none. */
export const number = (value) => (value == null ? "–" : whole.format(value));

/** A rate: one decimal below ten. */
export const rate = (value) => (value == null ? "–" : (value < 10 ? tenths : whole).format(value));

/** A count and its noun. */
export const count = (value, noun, plural = `${noun}s`) => `${number(value)} ${value === 1 ? noun : plural}`;

const pad = (value, digits = 2) => String(value).padStart(digits, "0");

/** The time of day: `12:30:41`, with milliseconds if wanted. */
export function clock(at, isPrecise = false) {
  if (at == null) return "–";
  const date = new Date(at);
  const seconds = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return isPrecise ? `${seconds}.${pad(date.getMilliseconds(), 3)}` : seconds;
}

/** A duration in its two largest units: `3m 2s`. */
export function duration(milliseconds) {
  if (milliseconds == null) return "–";
  if (milliseconds < 1000) return `${tenths.format(Math.max(0, milliseconds))} ms`;
  const seconds = Math.floor(milliseconds / 1000);
  const parts = [[Math.floor(seconds / 86400), "d"], [Math.floor(seconds / 3600) % 24, "h"], [Math.floor(seconds / 60) % 60, "m"], [seconds % 60, "s"]];
  const first = parts.findIndex(([value]) => value > 0);
  return parts.slice(first, first + 2).filter(([value]) => value > 0).map(([value, unit]) => value + unit).join(" ");
}

/** The time since a moment. */
export const age = (at, now = Date.now()) => (at == null ? "–" : duration(Math.max(1000, now - at)));

/** A size: `17 B`, `1.2 MiB`. */
export function bytes(value) {
  if (value == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 ? whole.format(value) : tenths.format(value)} ${units[unit]}`;
}

/** The first eight digits of an id. */
export const short = (id) => (id == null ? "unknown" : String(id).slice(0, 8));

/** A text of at most `limit` characters; what is cut shows as an ellipsis. */
export const cut = (text, limit) => (text.length > limit ? `${text.slice(0, limit)}…` : text);

/** Shows control and direction characters as their code, so that foreign text cannot reorder a line,
 * and at most four combining marks after a character, so that it cannot grow over its neighbours. */
export function visible(text) {
  return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`).replace(/(\p{M}{4})\p{M}+/gu, "$1…");
}
