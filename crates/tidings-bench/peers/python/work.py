"""Shared by the Python peers: the event, the order of sending, the checks of a subscriber."""

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
# Ten checks of its own: a process that was frozen has time to catch up.
LOOK_SECONDS = 0.5
PATIENCE = 10

now_ns = time.monotonic_ns
cpu_ns = time.process_time_ns


@dataclass(frozen=True)
class Work:
    """The work of one run."""

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
        """Each id with its scheduled time in an open loop."""
        start = now_ns()
        for index, order_id in enumerate(self.ids()):
            yield order_id, start + index * 1_000_000_000 // self.per_second

    def customer(self):
        """A customer name that brings `data` to the requested size."""
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


def run(receive, send):
    """Runs the role of the command line: `receive|send <peer> <url> <work>`."""
    role, _peer, url, text = sys.argv[1:]
    work = Work(**json.loads(text))
    if work.format != "json":
        sys.exit(f"only json is spoken here, not {work.format}")
    if role == "receive":
        receive(url, work, Tally(work))
    elif role == "send":
        send(url, work)
    else:
        sys.exit(f"the role is receive or send, not {role}")


class Stopwatch:
    """Starts right before the first event is sent."""

    def __init__(self):
        self.cpu_before = cpu_ns()
        self.first_ns = now_ns()

    def report(self):
        cpu = cpu_ns() - self.cpu_before
        report({"first_ns": self.first_ns, "cpu_ns": cpu, "rss_kib": rss_kib()})


class Tally:
    """Calls the handlers, and counts lost, duplicate and out-of-order events."""

    def __init__(self, work):
        self.events = work.events
        self.wanted = -(-work.events // work.names)
        self.arrived = self.duplicates = self.out_of_order = 0
        self.last_ns = self.cpu_before = 0
        self.seen = bytearray(work.events)
        # Each task of each sender is in order by itself.
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
        """Prints `ready`, and ends the process after the last event."""
        self.cpu_before = cpu_ns()
        print("ready", flush=True)
        threading.Thread(target=self.wait_and_end, daemon=True).start()

    def receive(self, name, order_id, sent_ns, data):
        is_new = self.check(order_id)
        if self.arrived % self.every == 0:
            self.last_ns = now_ns()
            self.latencies.append(self.last_ns - sent_ns)
        if not is_new:
            return
        for handle in self.handlers.get(name, ()):
            handle(data)
        if self.arrived - self.duplicates == self.events:
            self.last_ns = now_ns()
            self.is_over.set()

    def check(self, order_id):
        """Returns whether the id is new."""
        self.arrived += 1
        if self.seen[order_id]:
            self.duplicates += 1
            return False
        self.seen[order_id] = 1
        lane = order_id % self.lanes
        if order_id < self.next[lane]:
            self.out_of_order += 1
        else:
            self.next[lane] = order_id + self.lanes
        return True

    def wait_and_end(self):
        before = quiet = 0
        while quiet < PATIENCE and not self.is_over.wait(LOOK_SECONDS):
            quiet = quiet + 1 if self.arrived == before > 0 else 0
            before = self.arrived
        # Duplicates come right after the last event.
        time.sleep(0.05)
        self.end()

    def end(self):
        cpu = cpu_ns() - self.cpu_before
        # The first twentieth is the warm-up.
        latencies = sorted(self.latencies[len(self.latencies) // 20 :])

        def percentile(percent):
            index = len(latencies) * percent // 100
            return latencies[index] / 1000 if latencies else 0.0

        report(
            {
                "received": min(self.handled),
                "wanted": self.wanted,
                "duplicates": self.duplicates,
                "out_of_order": self.out_of_order,
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
