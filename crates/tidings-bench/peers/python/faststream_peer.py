"""Receives and sends with FastStream's Redis broker and pydantic models."""

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
    # By default it logs two lines for every event that it receives.
    return RedisBroker(url, logger=None, **settings)


async def receive(url, work, tally):
    name = f"subscriber-{os.getpid()}"
    broker = broker_at(url, client_name=name)

    async def on_order(event: OrderEvent):
        order = event.data
        tally.receive(event.event, order.order_id, order.sent_ns, order)

    async def on_tick(event: TickEvent):
        tick = event.data
        tally.receive(event.event, tick.id, tick.at, tick)

    broker.subscriber(CHANNEL)(on_tick if work.size <= 32 else on_order)
    await broker.start()
    await subscribed(broker, name)
    tally.ready()
    await asyncio.Event().wait()


async def subscribed(broker, name):
    """Waits until the server has the subscription: FastStream reports it when it was requested."""
    connection = await broker.connect()
    while True:
        subscribers = await connection.client_list(_type="pubsub")
        if any(subscriber["name"] == name for subscriber in subscribers):
            return
        await asyncio.sleep(0.01)


async def send(url, work):
    # A connection serves one command at a time, so each task needs its own.
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
    # At most one send per connection can be in flight: the rest waits.
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

        # A thread sleeps more precisely than the loop, which has a resolution of one millisecond.
        await asyncio.to_thread(pace)


LOADS = {
    "await": send_awaiting,
    "tasks": send_in_tasks,
    "feed": feed,
    "rate": send_at_rate,
}


def writer(work):
    """Returns the function that makes an event of this size."""
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
        lambda *of_run: asyncio.run(receive(*of_run)),
        lambda *of_run: asyncio.run(send(*of_run)),
    )
