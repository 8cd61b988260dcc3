// Receives and sends with ioredis.

import { Redis } from "ioredis";
import { CHANNEL, run } from "./work.mjs";

await run({
  async receive(url, onEvent) {
    const redis = new Redis(url);
    redis.on("message", (_channel, text) => onEvent(text));
    await redis.subscribe(CHANNEL);
  },

  async connect(url, { load }) {
    // Auto-pipelining delays a command to the end of the turn: no gain for one that is awaited
    // alone.
    const redis = new Redis(url, { enableAutoPipelining: load !== "await" });
    await redis.ping();
    return (text) => redis.publish(CHANNEL, text);
  },
});
