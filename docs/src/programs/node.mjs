// A Node program on the bus: hears every event, and sends one. npm install ioredis
import Redis from "ioredis";

const channel = "tidings:{default}"; // the namespace is between the braces
const url = process.env.TIDINGS_URL ?? "redis://127.0.0.1:6379";
const hears = new Redis(url);
const sends = new Redis(url);

hears.on("message", (_channel, text) => {
  if (!text.startsWith("{")) return; // a MessagePack frame
  const frame = JSON.parse(text);
  // A foreign sender may write one event as the whole frame.
  const events = frame.events ?? [frame];
  events.forEach(({ event, data, to }, index) => {
    // `others` means everybody here: we are not the sender. A node id is never ours.
    if (!event || (to && to !== "others")) return;
    const number = frame.seq ? frame.seq + index : "-";
    console.log(`heard ${event} number ${number}:`, data ?? null);
  });
});

await hears.subscribe(channel);
await sends.publish(channel, JSON.stringify({ event: "cache.clear", data: "user:7" }));
