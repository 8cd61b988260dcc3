// Shared by the JavaScript peers: the event, the loads of a sender, the checks of a subscriber.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { pacer } from "./pacer.mjs";

export const CHANNEL = "bench";

const NAME = "order.placed";
const IN_FLIGHT = 256;
// Ten checks of its own: a process that was frozen has time to catch up.
const LOOK_MS = 500;
const PATIENCE = 10;

/** Runs the role of the command line: `receive|send <peer> <url> <work>`. */
export async function run({ receive, connect }) {
  const [role, , url, text] = process.argv.slice(2);
  const work = JSON.parse(text);
  if (work.format !== "json") throw new Error(`only json is spoken here, not ${work.format}`);
  if (role === "receive") await runSubscriber(work, (onEvent) => receive(url, onEvent));
  else if (role === "send") await runSender(work, await connect(url, work));
  else throw new Error(`the role is receive or send, not ${role}`);
}

async function runSubscriber(work, receive) {
  const tally = new Tally(work);
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  await receive((text) => {
    if (tally.receive(text)) finish();
  });
  const before = cpuNs();
  console.log("ready");
  finishInSilence(tally, finish);
  await finished;
  // Duplicates come right after the last event.
  await sleep(50);
  const cpu_ns = cpuNs() - before;
  console.log(JSON.stringify({ ...tally.result(), cpu_ns, rss_kib: rssKib() }));
  process.exit(0);
}

async function runSender(work, publish) {
  const pace = work.load === "rate" ? await pacer(work.per_second) : undefined;
  const before = cpuNs();
  const first_ns = nowNs();
  await LOADS[work.load](work, publish, pace);
  const cpu_ns = cpuNs() - before;
  console.log(JSON.stringify({ first_ns, cpu_ns, rss_kib: rssKib() }));
  process.exit(0);
}

const LOADS = {
  async await(work, publish) {
    const write = writer(work);
    for (const id of ids(work)) await publish(write(id));
  },

  async tasks(work, publish) {
    const write = writer(work);
    const task = async (index) => {
      for (const id of ids(work, index, IN_FLIGHT)) await publish(write(id));
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, (_, index) => task(index)));
  },

  // Refilling one by one costs both libraries a little less than chunks of promises.
  async feed(work, publish) {
    const write = writer(work);
    const left = ids(work);
    const refill = async () => {
      for (const id of left) await publish(write(id));
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, refill));
  },

  rate(work, publish, pace) {
    const write = writer(work);
    const left = [...ids(work)];
    const start = nowNs();
    const due = (index) => Math.round(start + (index * 1e9) / work.per_second);
    return new Promise((resolve, reject) => {
      let sent = 0;
      let answered = 0;
      const answer = () => void (++answered === left.length && resolve());
      pace(start, () => {
        // A late event is sent at once, with its scheduled time.
        for (; sent < left.length && due(sent) <= nowNs(); sent++) {
          publish(write(left[sent], due(sent))).then(answer, reject);
        }
      });
    });
  },
};

/** The order ids of this sender; those of one of its tasks, if it has several. */
function* ids({ events, senders, sender }, task = 0, tasks = 1) {
  for (let id = sender + senders * task; id < events; id += senders * tasks) yield id;
}

/** Returns the function that encodes an event of this size. */
function writer({ events, names, size }) {
  const nameOf = (id) => (id % names === 0 ? NAME : `noise.${id % names}`);
  if (size <= 32) {
    return (id, at = nowNs()) => JSON.stringify({ event: nameOf(id), data: { id, at } });
  }
  const order = (order_id, customer, sent_ns) => ({
    order_id,
    customer,
    sku: "sku-98765432",
    quantity: 3,
    total_cents: 12999,
    sent_ns,
  });
  let customer = "cust-0001234";
  if (size > 124) {
    const short = JSON.stringify(order(events - 1, customer, nowNs())).length;
    customer = customer.padEnd(customer.length + size - short, "x");
  }
  return (id, sent_ns = nowNs()) =>
    JSON.stringify({ event: nameOf(id), data: order(id, customer, sent_ns) });
}

/** Decodes events, calls the handlers, and counts lost, duplicate and out-of-order events. */
class Tally {
  constructor(work) {
    this.events = work.events;
    this.wanted = Math.ceil(work.events / work.names);
    this.arrived = 0;
    this.duplicates = 0;
    this.out_of_order = 0;
    this.lastNs = 0;
    this.seen = new Uint8Array(work.events);
    // Each task of each sender is in order by itself.
    this.lanes = work.senders * (work.load === "tasks" ? IN_FLIGHT : 1);
    this.next = Array.from({ length: this.lanes }, (_, lane) => lane);
    this.every = work.load === "await" || work.load === "rate" ? 1 : 8;
    this.latencies = [];
    this.handled = new Array(work.handlers).fill(0);
    const handlers = this.handled.map((_, index) => this.handler(index, work.handler_ns));
    this.handlers = new Map([[NAME, handlers]]);
  }

  handler(index, busyNs) {
    return () => {
      if (busyNs > 0) for (const end = nowNs() + busyNs; nowNs() < end; );
      this.handled[index]++;
    };
  }

  /** Returns whether it was the last event. */
  receive(text) {
    const { event, data } = JSON.parse(text);
    const isNew = this.check(data.order_id ?? data.id);
    if (this.arrived % this.every === 0) {
      this.lastNs = nowNs();
      this.latencies.push(this.lastNs - (data.sent_ns ?? data.at));
    }
    if (!isNew) return false;
    for (const handle of this.handlers.get(event) ?? []) handle(data);
    if (this.arrived - this.duplicates < this.events) return false;
    this.lastNs = nowNs();
    return true;
  }

  /** Returns whether the id is new. */
  check(id) {
    this.arrived++;
    if (this.seen[id] === 1) {
      this.duplicates++;
      return false;
    }
    this.seen[id] = 1;
    const lane = id % this.lanes;
    if (id < this.next[lane]) this.out_of_order++;
    else this.next[lane] = id + this.lanes;
    return true;
  }

  result() {
    // The first twentieth is the warm-up.
    const warm = this.latencies.slice(this.latencies.length / 20);
    const latencies = Float64Array.from(warm).sort();
    const percentile = (percent) =>
      (latencies[Math.floor((latencies.length * percent) / 100)] ?? 0) / 1000;
    return {
      received: Math.min(...this.handled),
      wanted: this.wanted,
      duplicates: this.duplicates,
      out_of_order: this.out_of_order,
      gaps: 0,
      last_ns: this.lastNs,
      p50_us: percentile(50),
      p90_us: percentile(90),
      p99_us: percentile(99),
    };
  }
}

/** Gives up when no event came for a while after the first one. */
function finishInSilence(tally, finish) {
  let before = 0;
  let quiet = 0;
  setInterval(() => {
    quiet = tally.arrived > 0 && tally.arrived === before ? quiet + 1 : 0;
    before = tally.arrived;
    if (quiet === PATIENCE) finish();
  }, LOOK_MS);
}

// A number is exact for the first 104 days after boot, and to a few ns afterwards.
function nowNs() {
  return Number(process.hrtime.bigint());
}

function cpuNs() {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

function rssKib() {
  const status = readFileSync("/proc/self/status", "utf8");
  return Number(/^VmHWM:\s*(\d+)/m.exec(status)?.[1] ?? 0);
}
