// The schedule of an open loop, in steps finer than Node's timers, which have a resolution of one
// millisecond: a thread sleeps until the next step.

import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

/** The shortest step, the same as for the peers in Rust. */
const SHORTEST_NS = 100_000;

/** Returns the function that starts it: it calls `step` for this many events a second. */
export async function pacer(perSecond) {
  const stepNs = Math.max(SHORTEST_NS, 1e9 / perSecond);
  const thread = new Worker(new URL(import.meta.url), { workerData: stepNs });
  await once(thread, "online");
  return (startNs, step) => {
    thread.on("message", step);
    thread.postMessage(startNs);
  };
}

function tellSteps(startNs) {
  const nobodyWakes = new Int32Array(new SharedArrayBuffer(4));
  for (let due = startNs; ; due += workerData) {
    const left = due - Number(process.hrtime.bigint());
    if (left > 0) Atomics.wait(nobodyWakes, 0, 0, left / 1e6);
    parentPort.postMessage(undefined);
  }
}

if (!isMainThread) parentPort.once("message", tellSteps);
