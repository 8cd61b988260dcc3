//! Properties that hold for any bytes. The fuzz targets check them, and a test checks their corpus.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidings_codec::{Format, FrameWriter, Header, Limits, NewEvent, NodeId, Payload, To};

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
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) to: To,
    pub(crate) at: u64,
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) payload: Value,
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
    let Some((_, events)) = read(frame) else {
        return;
    };
    for format in [Format::Json, Format::MessagePack] {
        let Some(written) = write(format, NodeId::new(7), 1, &events) else {
            continue;
        };
        let (_, again) = read(&written).expect("a written frame can be read");
        assert_eq!(events.len(), again.len());
        for (event, again) in events.iter().zip(again) {
            assert!(
                is_same(&event.payload, &again.payload),
                "{event:?} became {again:?}"
            );
            let payload = event.payload.clone();
            assert_eq!(*event, Event { payload, ..again });
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

/// Reads and decodes a frame; `None` if any part of it is rejected.
pub(crate) fn read(frame: &[u8]) -> Option<(Header, Vec<Event>)> {
    let mut events = Vec::new();
    let header = tidings_codec::read_frame(frame, &Limits::default(), &mut events).ok()?;
    let events = events.into_iter().map(|event| {
        let event = event.ok()?;
        Some(Event {
            name: event.name(frame).to_owned(),
            to: event.to,
            at: event.at,
            meta: event.meta(header.format, frame).ok()?,
            payload: event.payload(header.format, frame).decode().ok()?,
        })
    });
    Some((header, events.collect::<Option<_>>()?))
}

/// Writes the events into a frame; `None` if they do not fit.
pub(crate) fn write(format: Format, from: NodeId, seq: u64, events: &[Event]) -> Option<Vec<u8>> {
    let mut writer = FrameWriter::new(format, from);
    for event in events {
        let meta: Vec<_> = event
            .meta
            .iter()
            .map(|(key, text)| (&**key, &**text))
            .collect();
        let new = NewEvent {
            name: &event.name,
            to: event.to,
            at: Some(event.at),
            meta: &meta,
        };
        let before = writer.len();
        let bytes = writer.push(new, |into| into.encode(&event.payload)).ok()?;
        assert_eq!(writer.len(), before + bytes);
    }
    Some(writer.finish(seq).to_vec())
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
