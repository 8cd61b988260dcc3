// Receives and sends with node-redis, which pipelines the commands of one turn by itself.

import { createClient } from "redis";
import { CHANNEL, run } from "./work.mjs";

async function connected(url) {
  const redis = createClient({ url });
  redis.on("error", (error) => {
    throw error;
  });
  return redis.connect();
}

await run({
  async receive(url, onEvent) {
    const redis = await connected(url);
    await redis.subscribe(CHANNEL, onEvent);
  },

  async connect(url) {
    const redis = await connected(url);
    return (text) => redis.publish(CHANNEL, text);
  },
});
