// A Node program that reads the journal from its end. npm install ioredis
import Redis from "ioredis";

const key = "tidings:{default}:journal"; // the namespace is between the braces
const redis = new Redis(process.env.TIDINGS_URL ?? "redis://127.0.0.1:6379");
// The last entry, not "$": that would skip what is added between two reads. "0" is the start.
let position = (await redis.xrevrange(key, "+", "-", "COUNT", 1))[0]?.[0] ?? "0";
console.log("reading after", position);
while (true) {
  const answer = await redis.xreadBuffer("BLOCK", 5000, "STREAMS", key, position);
  for (const [id, [, frame]] of answer?.[0][1] ?? []) {
    position = id.toString();
    if (frame[0] !== 123) continue; // a MessagePack frame
    const { seq, events = [] } = JSON.parse(frame);
    events.forEach(({ event, data }, index) => console.log(position, event, seq + index, data));
  }
}
