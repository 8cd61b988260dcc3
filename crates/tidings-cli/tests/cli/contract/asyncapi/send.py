"""Sends an example of each event of an AsyncAPI document, and knows nothing but this document."""

import json
import os
import socket
import sys
from urllib.parse import urlsplit

with open(sys.argv[1]) as file:
    document = json.load(file)


def resolve(part):
    while isinstance(part, dict) and "$ref" in part:
        target = document
        for key in part["$ref"].removeprefix("#/").split("/"):
            target = target[key.replace("~1", "/").replace("~0", "~")]
        part = target
    return part


def example(schema):
    """Makes a value that the schema allows."""
    schema = resolve(schema)
    if not isinstance(schema, dict) or not schema:
        return None
    for keyword in ("anyOf", "oneOf", "allOf"):
        if keyword in schema:
            return example(schema[keyword][0])
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        fields = schema.get("properties", {})
        return {name: example(fields[name]) for name in schema.get("required", [])}
    if kind == "array":
        return [example(schema["items"])] * schema.get("minItems", 1)
    return {
        "string": "x" * max(1, schema.get("minLength", 1)),
        "integer": schema.get("minimum", 0),
        "number": 0.5,
        "boolean": True,
    }.get(kind)


def address_of(channel):
    address = channel["address"]
    for name, parameter in channel.get("parameters", {}).items():
        address = address.replace("{" + name + "}", parameter["default"])
    return address


redis = urlsplit(os.environ["TIDINGS_URL"])
with socket.create_connection((redis.hostname, redis.port or 6379)) as connection:
    answers = connection.makefile("rb")
    for operation in document["operations"].values():
        if operation["action"] != "send":
            continue
        channel = address_of(resolve(operation["channel"]))
        message = resolve(resolve(operation["messages"][0]))
        payload = json.dumps(example(message["payload"]))
        parts = [part.encode() for part in ("PUBLISH", channel, payload)]
        command = b"*%d\r\n" % len(parts)
        for part in parts:
            command += b"$%d\r\n%s\r\n" % (len(part), part)
        connection.sendall(command)
        print(channel, payload, answers.readline().decode().strip())
