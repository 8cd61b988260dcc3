// The token of this tab, and requests with it.

const KEY = "tidings-token";

/** Moves a token from the address into this tab's storage; returns whether there was one. */
export function takeToken() {
  const fragment = location.hash.slice(1);
  if (fragment === "" || fragment.startsWith("/")) return false;
  sessionStorage.setItem(KEY, fragment);
  history.replaceState(null, "", `${location.pathname}#/`);
  return true;
}

export const token = () => sessionStorage.getItem(KEY);

/** An answer that is no success. */
export class Refused extends Error {
  constructor(status, answer) {
    super(answer.error ?? `status ${status}`);
    this.status = status;
    this.answer = answer;
  }
}

/** Sends a GET with the token; undefined parameters are left out. */
export function request(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value != null && value !== ""));
  return send(query.size > 0 ? `${path}?${query}` : path, { signal });
}

/** Asks for a change; returns the JSON of the answer. */
export async function post(path, change) {
  const response = await send(path, { method: "POST", body: stringify(change) }, { "Content-Type": "application/json" });
  return parse(await response.text());
}

async function send(url, options, headers = {}) {
  const response = await fetch(url, { ...options, headers: { ...headers, Authorization: `Bearer ${encodeURIComponent(token() ?? "")}` }, cache: "no-store" });
  if (!response.ok) throw new Refused(response.status, await reason(response));
  return response;
}

/** Returns the JSON of an answer. */
export const json = async (path, parameters, signal) => parse(await (await request(path, parameters, signal)).text());

/** Parses JSON; an integer that a number cannot hold becomes a BigInt, so that ids are shown as they are. */
export const parse = (text) => (/\d{16}/.test(text) ? JSON.parse(text, exact) : JSON.parse(text));

function exact(key, value, context) {
  const isInexact = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "");
  return isInexact ? BigInt(context.source) : value;
}

/** Writes what `parse` returned as JSON. */
export function stringify(value, indent = undefined) {
  return JSON.stringify(value, (key, item) => (typeof item === "bigint" ? JSON.rawJSON(String(item)) : item), indent);
}

/** Returns an answer that is no success as an object with its `error`. */
async function reason(response) {
  const text = await response.text().catch(() => "");
  try {
    return Object(parse(text));
  } catch {
    return text ? { error: text } : {};
  }
}
