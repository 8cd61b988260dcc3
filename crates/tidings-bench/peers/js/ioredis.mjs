// Receives and sends with ioredis, through one server or a cluster.

import { Cluster, Redis } from "ioredis";
import { CHANNEL, run } from "./work.mjs";

/** The nodes of `redis+cluster://host:port,host:port/?pubsub=sharded`; undefined for one server. */
function clusterOf(url) {
  const [, nodes, options] = /^redis\+cluster:\/\/([^/]+)(.*)$/.exec(url) ?? [];
  if (nodes === undefined) return undefined;
  const urls = nodes.split(",").map((node) => `redis://${node}`);
  return { urls, isSharded: options === "/?pubsub=sharded" };
}

await run({
  async receive(url, onEvent) {
    const cluster = clusterOf(url);
    const redis = cluster
      ? new Cluster(cluster.urls, { shardedSubscribers: cluster.isSharded })
      : new Redis(url);
    if (cluster?.isSharded) {
      redis.on("smessage", (_channel, text) => onEvent(text));
      await redis.ssubscribe(CHANNEL);
    } else {
      redis.on("message", (_channel, text) => onEvent(text));
      await redis.subscribe(CHANNEL);
    }
  },

  async connect(url, { load }) {
    const cluster = clusterOf(url);
    // Auto-pipelining delays a command to the end of the turn: no gain for one that is awaited
    // alone.
    const options = { enableAutoPipelining: load !== "await" };
    const redis = cluster ? new Cluster(cluster.urls, options) : new Redis(url, options);
    await redis.ping();
    return cluster?.isSharded
      ? (text) => redis.spublish(CHANNEL, text)
      : (text) => redis.publish(CHANNEL, text);
  },
});
