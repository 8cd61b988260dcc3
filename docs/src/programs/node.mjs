// A Node program on the bus: receives all events, and sends one. npm install ioredis
import Redis from "ioredis";

const channel = "tidings:{default}"; // the namespace is between the braces
const url = process.env.TIDINGS_URL ?? "redis://127.0.0.1:6379";
const subscriber = new Redis(url);
const publisher = new Redis(url);

subscriber.on("message", (_channel, text) => {
  if (!text.startsWith("{")) return; // a MessagePack frame
  const frame = JSON.parse(text);
  // A program that is not a node may send a single event as the whole frame.
  const events = frame.events ?? [frame];
  events.forEach(({ event, data, to }, index) => {
    // This program is not the sender, so `others` includes it. It has no node id.
    if (to && to !== "others") return;
    if (!event || event.startsWith("tidings.")) return; // an event of tidings itself
    const sequence = frame.seq ? frame.seq + index : "-";
    console.log(`received ${event} (${sequence}):`, data ?? null);
  });
});

await subscriber.subscribe(channel);
const price = { item: "pears", cents: 90 };
await publisher.publish(channel, JSON.stringify({ event: "price.set", data: price }));
