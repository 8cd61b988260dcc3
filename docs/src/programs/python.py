"""A Python program on the bus: hears every event, and sends one. pip install redis"""

import json
import os

import redis

CHANNEL = "tidings:{default}"  # the namespace is between the braces

bus = redis.Redis.from_url(os.environ.get("TIDINGS_URL", "redis://127.0.0.1:6379"))
channel = bus.pubsub(ignore_subscribe_messages=True)
channel.subscribe(CHANNEL)

bus.publish(CHANNEL, json.dumps({"event": "cache.clear", "data": "user:8"}))

for heard in channel.listen():
    if not heard["data"].startswith(b"{"):
        continue  # a MessagePack frame
    frame = json.loads(heard["data"])
    # A foreign sender may write one event as the whole frame.
    for index, event in enumerate(frame.get("events", [frame])):
        # "others" means everybody here: we are not the sender. A node id is never ours.
        if "event" not in event or event.get("to", "others") != "others":
            continue
        number = frame["seq"] + index if "seq" in frame else "-"
        print(f"heard {event['event']} number {number}: {event.get('data')}", flush=True)
