// A stream of server-sent events, read with fetch: it reconnects, and is closed while the tab is hidden.

import { parse, request, token } from "./api.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;
/** A stream without a byte for this long is lost: the server sends something each second. */
const SILENCE = 5000;

/** Reads the events of a response, and calls `each(type, data, id)` for each of them. */
async function read(response, each, alive) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", type = "message", id = "", data = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) each(type, data.join("\n"), id);
        type = "message";
        data = [];
        continue;
      }
      const colon = line.indexOf(":");
      const [field, content] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
      if (field === "data") data.push(content);
      else if (field === "event") type = content;
      else if (field === "id") id = content;
    }
  }
}

/**
 * Opens a stream. `each(type, value)` gets its events; `became(state, why)` gets `connecting`, `live`,
 * `reconnecting`, `hidden` or `token needed`. Returns a function that closes it.
 */
export function open(path, parameters, each, became) {
  let isClosed = false, abort = null, timer = 0, wait = FIRST_WAIT;

  const connect = async () => {
    clearTimeout(timer);
    if (isClosed || document.hidden || abort) return;
    if (!token()) { became("token needed"); return; }
    const mine = abort = new AbortController();
    let why = "the console does not answer", silence = 0;
    const alive = () => {
      clearTimeout(silence);
      silence = setTimeout(() => mine.abort(), SILENCE);
    };
    try {
      alive();
      const response = await request(path, parameters(), mine.signal);
      became("live");
      wait = FIRST_WAIT;
      await read(response, (type, data) => { if (abort === mine) each(type, parse(data)); }, alive);
      why = "the console closed the stream";
    } catch (error) {
      if (error.status === 401 && abort === mine) {
        abort = null;
        became("token needed");
        return;
      }
      if (error.status) why = error.message;
    } finally {
      clearTimeout(silence);
    }
    if (abort !== mine) return;
    abort = null;
    became("reconnecting", why);
    timer = setTimeout(connect, wait * (0.8 + 0.4 * Math.random()));
    wait = Math.min(wait * 2, LONGEST_WAIT);
  };

  const stop = () => {
    clearTimeout(timer);
    const old = abort;
    abort = null;
    old?.abort();
  };

  const visibility = () => {
    if (!document.hidden) {
      wait = FIRST_WAIT;
      if (!abort && token()) became("connecting");
      connect();
      return;
    }
    stop();
    became("hidden");
  };

  document.addEventListener("visibilitychange", visibility);
  became("connecting");
  connect();
  return () => {
    isClosed = true;
    document.removeEventListener("visibilitychange", visibility);
    stop();
  };
}
