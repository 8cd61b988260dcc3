"""What both Python peers do alike: the event, the order of sending, the checks of a hearer."""

import json
import os
import sys
import threading
import time
from array import array
from dataclasses import dataclass

CHANNEL = "bench"
NAME = "order.placed"
IN_FLIGHT = 256
# Ten looks of its own: a process that was frozen has time to hear what it missed.
LOOK_SECONDS = 0.5
PATIENCE = 10

now_ns = time.monotonic_ns
cpu_ns = time.process_time_ns


@dataclass(frozen=True)
class Work:
    """What one run sends and hears."""

    events: int
    load: str
    per_second: int
    size: int
    names: int
    handlers: int
    format: str
    handler_ns: int
    senders: int
    sender: int

    def ids(self, task=0, tasks=1):
        """The order ids of this sender; those of one of its tasks, if it has several."""
        first = self.sender + self.senders * task
        return range(first, self.events, self.senders * tasks)

    def name_of(self, order_id):
        kind = order_id % self.names
        return NAME if kind == 0 else f"noise.{kind}"

    def due_ids(self):
        """Each id with the time at which an open loop sends it."""
        start = now_ns()
        for index, order_id in enumerate(self.ids()):
            yield order_id, start + index * 1_000_000_000 // self.per_second

    def customer(self):
        """A customer that brings `data` to the wanted size."""
        customer = "cust-0001234"
        if self.size <= 124:
            return customer
        order = {
            "order_id": self.events - 1,
            "customer": customer,
            "sku": "sku-98765432",
            "quantity": 3,
            "total_cents": 12_999,
            "sent_ns": now_ns(),
        }
        short = len(json.dumps(order, separators=(",", ":")))
        return customer.ljust(len(customer) + self.size - short, "x")


def run(hear, send):
    """Runs the role that the command line asks for: `hear|send <peer> <url> <work>`."""
    role, _peer, url, text = sys.argv[1:]
    work = Work(**json.loads(text))
    if work.format != "json":
        sys.exit(f"only json is spoken here, not {work.format}")
    if role == "hear":
        hear(url, work, Tally(work))
    elif role == "send":
        send(url, work)
    else:
        sys.exit(f"the role is hear or send, not {role}")


class Stopwatch:
    """Starts just before the first event is sent."""

    def __init__(self):
        self.cpu_before = cpu_ns()
        self.first_ns = now_ns()

    def report(self):
        cpu = cpu_ns() - self.cpu_before
        report({"first_ns": self.first_ns, "cpu_ns": cpu, "rss_kib": rss_kib()})


class Tally:
    """Hands events over, and counts what is lost, repeated or out of order."""

    def __init__(self, work):
        self.events = work.events
        self.wanted = -(-work.events // work.names)
        self.arrived = self.repeated = self.misordered = 0
        self.last_ns = self.cpu_before = 0
        self.seen = bytearray(work.events)
        # Each task of each sender is in order by itself, and only by itself.
        self.lanes = work.senders * (IN_FLIGHT if work.load == "tasks" else 1)
        self.next = list(range(self.lanes))
        self.every = 1 if work.load in ("await", "rate") else 8
        self.latencies = array("q")
        self.handled = [0] * work.handlers
        handlers = [self.handler(index, work.handler_ns) for index in range(work.handlers)]
        self.handlers = {NAME: handlers}
        self.is_over = threading.Event()

    def handler(self, index, busy_ns):
        def handle(_data):
            if busy_ns > 0:
                end = now_ns() + busy_ns
                while now_ns() < end:
                    pass
            self.handled[index] += 1

        return handle

    def ready(self):
        """Says that events may come, and ends the process after the last one."""
        self.cpu_before = cpu_ns()
        print("ready", flush=True)
        threading.Thread(target=self.wait_and_end, daemon=True).start()

    def hear(self, name, order_id, sent_ns, data):
        is_new = self.check(order_id)
        if self.arrived % self.every == 0:
            self.last_ns = now_ns()
            self.latencies.append(self.last_ns - sent_ns)
        if not is_new:
            return
        for handle in self.handlers.get(name, ()):
            handle(data)
        if self.arrived - self.repeated == self.events:
            self.last_ns = now_ns()
            self.is_over.set()

    def check(self, order_id):
        """Returns whether this id has not come before."""
        self.arrived += 1
        if self.seen[order_id]:
            self.repeated += 1
            return False
        self.seen[order_id] = 1
        lane = order_id % self.lanes
        if order_id < self.next[lane]:
            self.misordered += 1
        else:
            self.next[lane] = order_id + self.lanes
        return True

    def wait_and_end(self):
        before = quiet = 0
        while quiet < PATIENCE and not self.is_over.wait(LOOK_SECONDS):
            quiet = quiet + 1 if self.arrived == before > 0 else 0
            before = self.arrived
        # What comes too often comes right after.
        time.sleep(0.05)
        self.end()

    def end(self):
        cpu = cpu_ns() - self.cpu_before
        # What comes while everything is still warming up says nothing.
        latencies = sorted(self.latencies[len(self.latencies) // 20 :])

        def percentile(percent):
            index = len(latencies) * percent // 100
            return latencies[index] / 1000 if latencies else 0.0

        report(
            {
                "heard": min(self.handled),
                "wanted": self.wanted,
                "repeated": self.repeated,
                "misordered": self.misordered,
                "gaps": 0,
                "last_ns": self.last_ns,
                "cpu_ns": cpu,
                "rss_kib": rss_kib(),
                "p50_us": percentile(50),
                "p90_us": percentile(90),
                "p99_us": percentile(99),
            }
        )
        # A thread or a loop may still wait for the next event: do not wait for them.
        os._exit(0)


def report(measured):
    print(json.dumps(measured), flush=True)


def rss_kib():
    with open("/proc/self/status") as status:
        lines = [line for line in status if line.startswith("VmHWM:")]
    return int(lines[0].split()[1])
