"""Hears and sends with FastStream's Redis broker and pydantic models."""

import asyncio
import os
import time
from functools import partial

from faststream.redis import RedisBroker
from pydantic import BaseModel
from work import CHANNEL, IN_FLIGHT, Stopwatch, now_ns, run

PIPELINE = 128


class Order(BaseModel):
    order_id: int
    customer: str
    sku: str
    quantity: int
    total_cents: int
    sent_ns: int


class OrderEvent(BaseModel):
    event: str
    data: Order


class Tick(BaseModel):
    id: int
    at: int


class TickEvent(BaseModel):
    event: str
    data: Tick


def broker_at(url, **settings):
    # By default it logs two lines about every event that it hears.
    return RedisBroker(url, logger=None, **settings)


async def hear(url, work, tally):
    name = f"hearer-{os.getpid()}"
    broker = broker_at(url, client_name=name)

    async def hear_order(event: OrderEvent):
        order = event.data
        tally.hear(event.event, order.order_id, order.sent_ns, order)

    async def hear_tick(event: TickEvent):
        tick = event.data
        tally.hear(event.event, tick.id, tick.at, tick)

    broker.subscriber(CHANNEL)(hear_tick if work.size <= 32 else hear_order)
    await broker.start()
    await subscribed(broker, name)
    tally.ready()
    await asyncio.Event().wait()


async def subscribed(broker, name):
    """FastStream says that it started as soon as it asked: ask the server whether it is so."""
    connection = await broker.connect()
    while True:
        hearers = await connection.client_list(_type="pubsub")
        if any(hearer["name"] == name for hearer in hearers):
            return
        await asyncio.sleep(0.01)


async def send(url, work):
    # A connection serves one command at a time here, so each task needs its own.
    async with broker_at(url, max_connections=IN_FLIGHT) as broker:
        connections = await broker.connect()
        await asyncio.gather(*(connections.ping() for _ in range(IN_FLIGHT)))
        write = writer(work)
        stopwatch = Stopwatch()
        await LOADS[work.load](broker, work, write)
        stopwatch.report()


async def send_awaiting(broker, work, write):
    for order_id in work.ids():
        await broker.publish(write(order_id, now_ns()), CHANNEL)


async def send_in_tasks(broker, work, write):
    async def task(index):
        for order_id in work.ids(index, IN_FLIGHT):
            await broker.publish(write(order_id, now_ns()), CHANNEL)

    await asyncio.gather(*(task(index) for index in range(IN_FLIGHT)))


async def feed(broker, work, write):
    connection = await broker.connect()
    ids = work.ids()
    for start in range(0, len(ids), PIPELINE):
        async with connection.pipeline(transaction=False) as pipeline:
            for order_id in ids[start : start + PIPELINE]:
                await broker.publish(write(order_id, now_ns()), CHANNEL, pipeline=pipeline)
            await pipeline.execute()


async def send_at_rate(broker, work, write):
    loop = asyncio.get_running_loop()
    # More than there are connections cannot be under way: the rest waits, and ages.
    connections = asyncio.Semaphore(IN_FLIGHT)

    async def publish(order_id, due):
        async with connections:
            await broker.publish(write(order_id, due), CHANNEL)

    async with asyncio.TaskGroup() as under_way:

        def start(order_id, due):
            under_way.create_task(publish(order_id, due))

        def pace():
            for order_id, due in work.due_ids():
                time.sleep(max(0, due - now_ns()) / 1e9)
                loop.call_soon_threadsafe(start, order_id, due)

        # A thread sleeps more exactly than the loop, which knows whole milliseconds only.
        await asyncio.to_thread(pace)


LOADS = {
    "await": send_awaiting,
    "tasks": send_in_tasks,
    "feed": feed,
    "rate": send_at_rate,
}


def writer(work):
    """Gives the function that makes an event of the wanted size."""
    if work.size <= 32:
        return lambda order_id, at: TickEvent(
            event=work.name_of(order_id), data=Tick(id=order_id, at=at)
        )
    order = partial(
        Order,
        customer=work.customer(),
        sku="sku-98765432",
        quantity=3,
        total_cents=12_999,
    )
    return lambda order_id, sent_ns: OrderEvent(
        event=work.name_of(order_id), data=order(order_id=order_id, sent_ns=sent_ns)
    )


if __name__ == "__main__":
    run(
        lambda *of_run: asyncio.run(hear(*of_run)),
        lambda *of_run: asyncio.run(send(*of_run)),
    )
