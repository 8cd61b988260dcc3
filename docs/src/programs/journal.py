"""A Python program that reads the journal from its end. pip install redis"""

import json
import os

import redis

KEY = "tidings:{default}:journal"  # the namespace is between the braces

bus = redis.Redis.from_url(os.environ.get("TIDINGS_URL", "redis://127.0.0.1:6379"))
# The last entry, not "$": that would skip what is added between two reads. "0" is the start.
last = bus.xrevrange(KEY, count=1)
position = last[0][0] if last else b"0"
print("reading after", position.decode(), flush=True)
while True:
    answer = bus.xread({KEY: position}, block=5000)
    for position, fields in answer[0][1] if answer else []:
        if not fields[b"f"].startswith(b"{"):
            continue  # a MessagePack frame
        frame = json.loads(fields[b"f"])
        for index, event in enumerate(frame.get("events", [])):
            print(position.decode(), event["event"], frame["seq"] + index, event.get("data"), flush=True)
