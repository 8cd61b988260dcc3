//! Written frames are read back, and damaged frames are detected or harmless.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tidings_codec::{Format, Header, Limits, NodeId, Payload, To, position_frame, read_frame};

use crate::checks::{Event, read, write};

fn formats() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Json), Just(Format::MessagePack)]
}

fn nodes() -> impl Strategy<Value = NodeId> {
    any::<u128>().prop_map(NodeId::new)
}

fn payloads() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1.0e9..1.0e9).prop_map(|float: f64| Value::from(float.round() + 0.5)),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\{}\\[\\],: \u{0}-\u{1f}]{0,300}".prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn events() -> impl Strategy<Value = Event> {
    let to = prop_oneof![Just(To::All), Just(To::Others), nodes().prop_map(To::Node)];
    // Few times, so that adjacent events often have the same.
    let at = prop_oneof![0_u64..4, Just(u64::MAX)];
    let name = prop_oneof!["[A-Za-z0-9._:-]{1,128}", "[a-z]{1,8}\\.[a-z]{1,8}"];
    let meta = btree_map(any::<String>(), any::<String>(), 0..4);
    (name, to, at, meta, payloads()).prop_map(|(name, to, at, meta, payload)| Event {
        name,
        to,
        at,
        meta,
        payload,
    })
}

fn written(format: Format, from: NodeId, seq: u64, events: &[Event]) -> Vec<u8> {
    write(format, from, seq, events).unwrap()
}

/// Reads a frame with a JSON parser, as the book describes the format.
fn read_generically(frame: &[u8]) -> Option<(Header, Vec<Event>)> {
    let frame: Value = serde_json::from_slice(frame).ok()?;
    let from = frame
        .get("from")
        .map(|from| from.as_str().unwrap().parse().unwrap());
    let seq = frame.get("seq").map(|seq| seq.as_u64().unwrap());
    let mut at = 0;
    let alone = [frame.clone()];
    let events = frame
        .get("events")
        .map_or(&alone[..], |events| events.as_array().unwrap());
    let events = events.iter().map(|event| {
        at = event["at"].as_u64().unwrap_or(at);
        Event {
            name: event["event"].as_str().unwrap().to_owned(),
            to: match event["to"].as_str() {
                None => To::All,
                Some("others") => To::Others,
                Some(node) => To::Node(node.parse().unwrap()),
            },
            at,
            meta: serde_json::from_value(event["meta"].clone()).unwrap_or_default(),
            payload: event["data"].clone(),
        }
    });
    Some((
        Header {
            format: Format::Json,
            from,
            seq,
        },
        events.collect(),
    ))
}

fn some_events() -> [Event; 3] {
    let node = NodeId::new(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
    let event = |name: &str, to, at, payload| Event {
        name: name.to_owned(),
        to,
        at,
        meta: BTreeMap::new(),
        payload,
    };
    [
        event("cache.clear", To::All, 0, json!("user:7\n")),
        Event {
            meta: BTreeMap::from([("trace".into(), "4\"bf9".into())]),
            ..event(
                "a",
                To::Node(node),
                5,
                json!({"id": 7, "list": [1.5, null, true]}),
            )
        },
        event(
            "b",
            To::Others,
            5,
            json!({"text": "ä\u{1f600}", "empty": [[], {}]}),
        ),
    ]
}

proptest! {
    #[test]
    fn a_written_frame_is_read_back(
        format in formats(), from in nodes(), seq in 1_u64..u64::MAX - 10, events in vec(events(), 0..8),
    ) {
        let frame = written(format, from, seq, &events);
        let header = Header { format, from: Some(from), seq: Some(seq) };
        prop_assert_eq!(read(&frame), Some((header, events.clone())));
        if format == Format::Json {
            prop_assert_eq!(read_generically(&frame), Some((header, events)));
        }
    }

    #[test]
    fn a_frame_cut_off_anywhere_is_rejected(
        format in formats(), events in vec(events(), 1..4), cut in any::<prop::sample::Index>(),
    ) {
        let frame = written(format, NodeId::new(1), 1, &events);
        let mut read = Vec::new();
        let cut = &frame[..cut.index(frame.len())];
        prop_assert!(read_frame(cut, &Limits::default(), &mut read).is_err());
        prop_assert!(read.is_empty());
    }

    #[test]
    fn arbitrary_bytes_cause_no_panic(format in formats(), mut bytes in vec(any::<u8>(), 0..200)) {
        read(&bytes);
        bytes.insert(0, if format == Format::Json { b'{' } else { 0x94 });
        read(&bytes);
        let _ = tidings_codec::Payload::new(format, &bytes).decode::<Value>();
    }

    #[test]
    fn payloads_of_any_length_are_read_back(
        format in formats(), lengths in vec(prop_oneof![0..600_usize, 65_500..65_600_usize], 1..4),
    ) {
        let events: Vec<_> = lengths
            .iter()
            .map(|len| Event { payload: Value::from("x".repeat(*len)), ..some_events()[0].clone() })
            .collect();
        let frame = written(format, NodeId::new(1), 1, &events);
        prop_assert_eq!(read(&frame).map(|(_, events)| events), Some(events));
    }
}

#[test]
fn a_position_frame_has_no_events_and_the_next_sequence_number() {
    for format in [Format::Json, Format::MessagePack] {
        let frame = position_frame(format, NodeId::new(3), 42);
        let header = Header {
            format,
            from: Some(NodeId::new(3)),
            seq: Some(42),
        };
        assert_eq!(read(&frame), Some((header, vec![])));
    }
}

#[test]
fn a_damaged_json_frame_is_rejected_or_read_as_a_json_parser_reads_it() {
    let frame = written(Format::Json, NodeId::new(1), 41, &some_events());
    let mut still_read = 0;
    for damaged in damage(&frame) {
        let Some(ours) = read(&damaged) else { continue };
        // serde_json also rejects errors in places that this crate skips.
        if let Some(theirs) = read_generically(&damaged) {
            assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&damaged));
            still_read += 1;
        }
    }
    assert!(
        still_read > 1000,
        "only {still_read} damaged frames were read: too few to prove anything"
    );
}

#[test]
fn a_damaged_message_pack_frame_causes_no_panic() {
    let frame = written(Format::MessagePack, NodeId::new(1), 41, &some_events());
    for damaged in damage(&frame) {
        let mut events = Vec::new();
        let Ok(header) = read_frame(&damaged, &Limits::default(), &mut events) else {
            continue;
        };
        for event in events.into_iter().flatten() {
            assert!(tidings_codec::check_name(event.name(&damaged)).is_ok());
            let payload = event.payload(header.format, &damaged);
            assert!(payload.bytes().len() < damaged.len());
            let _ = (
                payload.decode::<Value>(),
                event.meta(header.format, &damaged),
            );
        }
    }
}

/// Returns copies of the frame, in each of which one byte is replaced.
fn damage(frame: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..frame.len()).flat_map(move |position| {
        (0..=u8::MAX)
            .filter(move |byte| *byte != frame[position])
            .map(move |byte| {
                let mut damaged = frame.to_vec();
                damaged[position] = byte;
                damaged
            })
    })
}

/// A text in each place where JSON may have one.
#[derive(Serialize)]
struct Texts<'a> {
    field: &'a str,
    option: Option<&'a str>,
    newtype: Newtype<'a>,
    variant: Variant<'a>,
    keys: BTreeMap<Newtype<'a>, [&'a str; 1]>,
    bytes: &'a serde_bytes::Bytes,
    raw: Raw<'a>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Newtype<'a>(&'a str);

#[derive(Serialize)]
enum Variant<'a> {
    Of(&'a str),
}

/// Serializes as `serde_json::value::RawValue`, which is behind a feature.
struct Raw<'a>(&'a str);

impl Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut raw = serializer.serialize_struct("$serde_json::private::RawValue", 1)?;
        raw.serialize_field("$serde_json::private::RawValue", self.0)?;
        raw.end()
    }
}

#[test]
fn a_text_of_any_length_is_written_as_by_serde_json() {
    let lengths = (0..20).chain(56..80).chain(248..266).chain([512, 4_000]);
    for length in lengths {
        let plain = "7".repeat(length);
        let places = [0, length / 2, length.saturating_sub(1), length];
        let others = ["", "\"", "\\", "\n", "\0", "\u{7f}", "\u{e9}", "\u{2028}"];
        for (place, other) in places
            .iter()
            .flat_map(|place| others.map(|other| (place, other)))
        {
            let (start, end) = plain.split_at(*place);
            let text = &*format!("{start}{other}{end}");
            let texts = Texts {
                field: text,
                option: Some(text),
                newtype: Newtype(text),
                variant: Variant::Of(text),
                keys: [(Newtype(text), [text])].into(),
                bytes: serde_bytes::Bytes::new(text.as_bytes()),
                raw: Raw(text),
            };
            let mut written = Vec::new();
            Format::Json.encode(&texts, &mut written).unwrap();
            assert_eq!(written, serde_json::to_vec(&texts).unwrap(), "{text:?}");
        }
    }
}

#[test]
fn a_long_text_is_read_up_to_its_end() {
    for length in (240..330).chain([1_000, 20_000]) {
        for other in ["", "\\n", "\\\"", "\u{e9}"] {
            let text = format!("\"{}{other}\"", "x".repeat(length));
            let read = Payload::new(Format::Json, text.as_bytes()).decode::<String>();
            assert_eq!(
                read.unwrap(),
                serde_json::from_str::<String>(&text).unwrap()
            );
        }
        let control = format!("\"{}\n\"", "x".repeat(length));
        let read = Payload::new(Format::Json, control.as_bytes()).decode::<String>();
        read.unwrap_err();
    }
}
