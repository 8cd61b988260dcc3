// Hears and sends with ioredis.

import { Redis } from "ioredis";
import { CHANNEL, run } from "./work.mjs";

await run({
  async hear(url, onEvent) {
    const redis = new Redis(url);
    redis.on("message", (_channel, text) => onEvent(text));
    await redis.subscribe(CHANNEL);
  },

  async connect(url, { load }) {
    // It puts a command off to the end of the turn: no gain where each is awaited alone.
    const redis = new Redis(url, { enableAutoPipelining: load !== "await" });
    await redis.ping();
    return (text) => redis.publish(CHANNEL, text);
  },
});
