"""A Python program on the bus: receives all events, and sends one. pip install redis"""

import json
import os

import redis

CHANNEL = "tidings:{default}"  # the namespace is between the braces

bus = redis.Redis.from_url(os.environ.get("TIDINGS_URL", "redis://127.0.0.1:6379"))
channel = bus.pubsub(ignore_subscribe_messages=True)
channel.subscribe(CHANNEL)

price = {"item": "plums", "cents": 70}
bus.publish(CHANNEL, json.dumps({"event": "price.set", "data": price}))

for message in channel.listen():
    if not message["data"].startswith(b"{"):
        continue  # a MessagePack frame
    frame = json.loads(message["data"])
    # A program that is not a node may send a single event as the whole frame.
    for index, event in enumerate(frame.get("events", [frame])):
        # This program is not the sender, so "others" includes it. It has no node id.
        if event.get("to", "others") != "others":
            continue
        if event.get("event", "tidings.").startswith("tidings."):
            continue  # an event of tidings itself
        sequence = frame["seq"] + index if "seq" in frame else "-"
        print(f"received {event['event']} ({sequence}): {event.get('data')}", flush=True)
