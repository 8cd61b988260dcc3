//! Properties that hold for any bytes. The fuzz targets check them, and a test checks their corpus.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidings_codec::{Format, FrameWriter, Limits, NewEvent, NodeId, Payload, To};

/// A recursive enum with all kinds of variants.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tree {
    Leaf(u64),
    Text { text: String, number: Option<f64> },
    Branches(Vec<Tree>),
    Nothing,
}

/// A decoded event.
#[derive(Debug)]
struct Event {
    name: String,
    to: To,
    at: u64,
    meta: BTreeMap<String, String>,
    payload: Value,
}

pub(crate) fn read_frame(frame: &[u8]) {
    let mut events = Vec::new();
    let Ok(header) = tidings_codec::read_frame(frame, &Limits::default(), &mut events) else {
        assert!(events.is_empty());
        return;
    };
    assert_eq!(header.from.is_some(), header.seq.is_some());
    assert!(events.len() <= frame.len());
    for event in events.into_iter().flatten() {
        tidings_codec::check_name(event.name(frame)).expect("the reader checked the name");
        if let Ok(meta) = event.meta(header.format, frame) {
            assert!(meta.len() <= Limits::META);
        }
        decode(event.payload(header.format, frame));
    }
}

pub(crate) fn payload_msgpack(bytes: &[u8]) {
    decode(Payload::new(Format::MessagePack, bytes));
}

pub(crate) fn round_trip(frame: &[u8]) {
    let Some(events) = read_all(frame) else {
        return;
    };
    for format in [Format::Json, Format::MessagePack] {
        let Some(written) = write(format, &events) else {
            continue;
        };
        let again = read_all(&written).expect("a written frame can be read");
        assert_eq!(events.len(), again.len());
        for (event, again) in events.iter().zip(&again) {
            assert_eq!(
                (&event.name, event.to, event.at),
                (&again.name, again.to, again.at)
            );
            assert_eq!(event.meta, again.meta);
            assert!(
                is_same(&event.payload, &again.payload),
                "{event:?} became {again:?}"
            );
        }
    }
}

fn decode(payload: Payload<'_>) {
    let value = payload.decode::<Value>();
    if payload.is_null() {
        assert_eq!(value.expect("null is a value"), Value::Null);
    }
    if let Ok(tree) = payload.decode::<Tree>() {
        let mut bytes = Vec::new();
        payload
            .format()
            .encode(&tree, &mut bytes)
            .expect("a tree can be written");
        assert!(
            Payload::new(payload.format(), &bytes)
                .decode::<Tree>()
                .is_ok()
        );
    }
    let _ = payload.decode::<(u8, String)>();
    let _ = payload.decode::<BTreeMap<String, Vec<NodeId>>>();
}

/// Reads a frame; `None` if any part of it is rejected.
fn read_all(frame: &[u8]) -> Option<Vec<Event>> {
    let mut events = Vec::new();
    let format = tidings_codec::read_frame(frame, &Limits::default(), &mut events)
        .ok()?
        .format;
    let read = events.into_iter().map(|event| {
        let event = event.ok()?;
        Some(Event {
            name: event.name(frame).to_owned(),
            to: event.to,
            at: event.at,
            meta: event.meta(format, frame).ok()?,
            payload: event.payload(format, frame).decode().ok()?,
        })
    });
    read.collect()
}

/// Writes the events into a frame; `None` if they do not fit.
fn write(format: Format, events: &[Event]) -> Option<Vec<u8>> {
    let mut writer = FrameWriter::new(format, NodeId::new(7));
    for event in events {
        let meta: Vec<_> = event
            .meta
            .iter()
            .map(|(key, text)| (&**key, &**text))
            .collect();
        let outgoing = NewEvent {
            name: &event.name,
            to: event.to,
            at: Some(event.at),
            meta: &meta,
        };
        writer
            .push(outgoing, |into| into.encode(&event.payload))
            .ok()?;
    }
    Some(writer.finish(1).to_vec())
}

/// Compares values, except for the last bit of floats, which `serde_json` may round differently.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() => {
            let (one, other) = (one.as_f64(), other.as_f64());
            one.zip(other)
                .is_some_and(|(one, other)| (one - other).abs() <= one.abs() * 1e-14)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, one)| other.get(key).is_some_and(|other| is_same(one, other)))
        }
        _ => one == other,
    }
}
