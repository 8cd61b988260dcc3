"""Receives and sends with redis-py, dataclasses and json."""

import asyncio
import json
import time
from dataclasses import dataclass

import redis
import redis.asyncio
from work import CHANNEL, IN_FLIGHT, Stopwatch, now_ns, run

PIPELINE = 128


@dataclass(slots=True)
class Order:
    order_id: int
    customer: str
    sku: str
    quantity: int
    total_cents: int
    sent_ns: int


@dataclass(slots=True)
class Tick:
    id: int
    at: int


def receive(url, work, tally):
    subscriber = redis.Redis.from_url(url).pubsub()
    subscriber.subscribe(CHANNEL)
    for frame in subscriber.listen():
        if frame["type"] == "subscribe":
            tally.ready()
            continue
        envelope = json.loads(frame["data"])
        if work.size <= 32:
            tick = Tick(**envelope["data"])
            tally.receive(envelope["event"], tick.id, tick.at, tick)
        else:
            order = Order(**envelope["data"])
            tally.receive(envelope["event"], order.order_id, order.sent_ns, order)


def send(url, work):
    if work.load == "tasks":
        asyncio.run(send_in_tasks(url, work))
        return
    connection = redis.Redis.from_url(url)
    connection.ping()
    write = writer(work)
    stopwatch = Stopwatch()
    match work.load:
        case "await":
            for order_id in work.ids():
                connection.publish(CHANNEL, write(order_id, now_ns()))
        case "feed":
            feed(connection, work, write)
        case "rate":
            send_at_rate(connection, work, write)
        case load:
            raise ValueError(load)
    stopwatch.report()


def feed(connection, work, write):
    ids = work.ids()
    for start in range(0, len(ids), PIPELINE):
        pipeline = connection.pipeline(transaction=False)
        for order_id in ids[start : start + PIPELINE]:
            pipeline.publish(CHANNEL, write(order_id, now_ns()))
        pipeline.execute()


def send_at_rate(connection, work, write):
    pipeline = connection.pipeline(transaction=False)
    for order_id, due in work.due_ids():
        # All due events are sent at once: a slow answer delays events and skips none.
        if due > now_ns() or len(pipeline) == PIPELINE:
            if len(pipeline) > 0:
                pipeline.execute()
            time.sleep(max(0, due - now_ns()) / 1e9)
        pipeline.publish(CHANNEL, write(order_id, due))
    pipeline.execute()


async def send_in_tasks(url, work):
    # A connection serves one command at a time, so each task needs its own.
    connections = redis.asyncio.Redis.from_url(url, max_connections=IN_FLIGHT)
    await asyncio.gather(*(connections.ping() for _ in range(IN_FLIGHT)))
    write = writer(work)

    async def task(index):
        for order_id in work.ids(index, IN_FLIGHT):
            await connections.publish(CHANNEL, write(order_id, now_ns()))

    stopwatch = Stopwatch()
    await asyncio.gather(*(task(index) for index in range(IN_FLIGHT)))
    stopwatch.report()
    await connections.aclose()


def writer(work):
    """Returns the function that encodes an event of this size."""
    # `json.dumps` makes an encoder for every call with compact separators.
    encode = json.JSONEncoder(separators=(",", ":")).encode
    if work.size <= 32:
        return lambda order_id, at: encode(
            {"event": work.name_of(order_id), "data": {"id": order_id, "at": at}}
        )
    customer = work.customer()
    return lambda order_id, sent_ns: encode(
        {
            "event": work.name_of(order_id),
            "data": {
                "order_id": order_id,
                "customer": customer,
                "sku": "sku-98765432",
                "quantity": 3,
                "total_cents": 12_999,
                "sent_ns": sent_ns,
            },
        }
    )


if __name__ == "__main__":
    run(receive, send)
