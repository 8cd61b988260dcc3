//! An AsyncAPI document: what other programs need to send and receive the events.

use serde_json::{Map, Value, json};

use crate::contract::export::Exported;
use crate::contract::model::{Contract, Event, Side};

const CHANNEL: &str = "#/channels/events";
const MESSAGES: &str = "#/channels/events/messages/";

/// The names of the messages that are no event. No event has such a name: `tidings.` is reserved.
const FRAME: &str = "tidings.frame";
const RESPONSE: &str = "tidings.response";

/// Returns the document (3.0.0) of a contract in a namespace.
pub(crate) fn asyncapi(contract: &Contract, namespace: &str) -> Value {
    let exported = Exported::new(contract, "#/components/schemas/");
    let mut messages = Map::new();
    let mut operations = Map::new();
    for (name, event) in &contract.events {
        messages.insert(
            exported.key(name),
            message(contract, &exported, name, event),
        );
        add_operations(&exported, name, event, &mut operations);
    }
    messages.insert(FRAME.to_owned(), frame());
    if let Some(response) = response(contract, &exported) {
        messages.insert(RESPONSE.to_owned(), response);
    }
    let in_channel = messages.keys();
    let in_channel: Map<_, _> = in_channel
        .map(|name| {
            (
                name.clone(),
                reference(&format!("#/components/messages/{name}")),
            )
        })
        .collect();
    // The braces of the channel are a part of its name, and those of the address a parameter.
    let literal = format!("{{{namespace}}}");
    json!({
        "asyncapi": "3.0.0",
        "info": info(contract),
        "defaultContentType": "application/json",
        "servers": { "redis": {
            "host": "{address}",
            "protocol": "redis",
            "description": "The Redis of the fleet, as in TIDINGS_URL.",
            "variables": { "address": { "default": "127.0.0.1:6379" } },
        } },
        "channels": { "events": {
            "address": "tidings:{namespace}",
            "title": "Events",
            "description": "One Redis channel has all events of the namespace. Each PUBLISH carries one \
                            frame: a single event, as a program may send it, or a list of events of \
                            one node. Nodes may also write frames in MessagePack, whose first byte is \
                            not `{`.",
            "servers": [reference("#/servers/redis")],
            "parameters": { "namespace": {
                "description": "The namespace in braces.",
                "enum": [literal],
                "default": literal,
            } },
            "messages": in_channel,
        } },
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": exported.definitions(),
        },
    })
}

fn reference(to: &str) -> Value {
    json!({ "$ref": to })
}

fn info(contract: &Contract) -> Value {
    let package = &contract.package;
    let name = package.name.as_deref().unwrap_or("events");
    let version = package.version.as_deref().unwrap_or(&contract.hash);
    let mut info = json!({
        "title": name,
        "version": version,
        "description": "Typed events over Redis pub/sub, as `tidings` sends and receives them.",
        "tags": [{ "name": "tidings" }],
        "x-tidings-contract": contract.hash,
    });
    if let Some(license) = &package.license {
        info["license"] = json!({ "name": license });
    }
    if let Some(repository) = &package.repository {
        info["externalDocs"] = json!({ "url": repository });
    }
    info
}

/// Returns the message of an event: a frame with this event only.
fn message(contract: &Contract, exported: &Exported<'_>, name: &str, event: &Event) -> Value {
    let place = format!("events.{name}");
    let of = |side| {
        event
            .payload
            .get(side)
            .map(|it| exported.schema(it, &place, side))
    };
    let (reads, writes) = (of(Side::Reads), of(Side::Writes));
    let mut message = json!({
        "name": name,
        "title": name,
        "contentType": "application/json",
        "payload": single(name, reads.as_ref().unwrap_or(&json!({}))),
    });
    let about = contract
        .annotations
        .get(&place)
        .and_then(|it| it.get("")?.get("description"));
    if let Some(description) = about.and_then(Value::as_str) {
        message["summary"] = description.into();
    }
    if let Some(since) = &event.payload.since {
        message["x-tidings-since"] = since.as_str().into();
    }
    match (reads, writes) {
        (None, None) => message["x-tidings-schema"] = "unknown".into(),
        // Nodes write more than readers need: fields with a default are there.
        (reads, Some(writes)) if reads.as_ref() != Some(&writes) => {
            message["x-tidings-writes"] = writes;
        }
        _ => {}
    }
    message
}

fn single(name: &str, data: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "event": { "type": "string", "const": name },
            "data": data,
        },
        "required": ["event", "data"],
    })
}

fn add_operations(
    exported: &Exported<'_>,
    name: &str,
    event: &Event,
    operations: &mut Map<String, Value>,
) {
    let key = exported.key(name);
    let messages = [reference(&format!("{MESSAGES}{key}"))];
    let operation = |action: &str| {
        json!({
            "action": action,
            "channel": reference(CHANNEL),
            "title": format!("{action} {name}"),
            "messages": messages,
        })
    };
    operations.insert(format!("send.{key}"), operation("send"));
    if event.handled_by.is_empty() {
        return;
    }
    let mut receive = operation("receive");
    receive["x-tidings-handlers"] = json!(event.handled_by);
    let response = event.response.as_ref();
    if let Some(schema) = response.and_then(|response| response.get(Side::Writes)) {
        receive["reply"] = json!({
            "channel": reference(CHANNEL),
            "messages": [reference(&format!("{MESSAGES}{RESPONSE}"))],
        });
        let place = format!("responses.{name}");
        receive["x-tidings-response"] = exported.schema(schema, &place, Side::Writes);
    }
    operations.insert(format!("receive.{key}"), receive);
}

/// Returns the message of a node with several events.
fn frame() -> Value {
    let position = json!({ "type": "integer", "minimum": 0 });
    json!({
        "name": FRAME,
        "title": "Frame of a node",
        "summary": "Events of one node, in the order in which it sent them.",
        "contentType": "application/json",
        "payload": {
            "type": "object",
            "properties": {
                "v": { "const": 1 },
                "from": { "type": "string", "description": "The id of the node: 32 hexadecimal digits." },
                "seq": position,
                "events": { "type": "array", "items": {
                    "type": "object",
                    "properties": {
                        "event": { "type": "string" },
                        "data": {},
                        "to": { "type": "string" },
                        "at": position,
                        "meta": { "type": "object", "additionalProperties": { "type": "string" } },
                    },
                    "required": ["event"],
                } },
            },
            "required": ["v", "events"],
        },
    })
}

/// Returns the message of all responses, if there are requests.
fn response(contract: &Contract, exported: &Exported<'_>) -> Option<Value> {
    let responses = contract.events.iter().filter_map(|(name, event)| {
        let schema = event.response.as_ref()?.get(Side::Writes)?;
        Some(exported.schema(schema, &format!("responses.{name}"), Side::Writes))
    });
    let mut data: Vec<_> = responses.collect();
    if data.is_empty() {
        return None;
    }
    data.dedup();
    let mut payload = single(RESPONSE, &json!({ "anyOf": data }));
    payload["properties"]["meta"] = json!({
        "type": "object",
        "properties": {
            "request": { "type": "string", "description": "The id of the request." },
            "outcome": { "enum": ["handled", "failed", "no-handler"] },
            "error": { "type": "string" },
        },
        "required": ["request", "outcome"],
    });
    payload["required"] = json!(["event", "meta"]);
    Some(json!({
        "name": RESPONSE,
        "title": "Response to a request",
        "contentType": "application/json",
        "payload": payload,
    }))
}
