//! Malformed events and rejected writes.

use serde::ser::{Serialize, SerializeSeq, Serializer};
use tidings_codec::{
    EncodeError, Encoder, EventError, Format, FrameError, FrameWriter, Limits, NewEvent, NodeId,
    Payload, To, WriteError, read_frame,
};

/// Returns the names of the events of a frame; `None` for a malformed one.
fn names(frame: &[u8]) -> Vec<Option<&str>> {
    let mut events = Vec::new();
    read_frame(frame, &Limits::default(), &mut events).unwrap();
    events
        .iter()
        .map(|event| event.as_ref().ok().map(|event| event.name(frame)))
        .collect()
}

#[test]
fn a_malformed_json_event_does_not_affect_the_others() {
    let deep = format!(
        r#"{{"event":"x","data":{}{}}}"#,
        "[".repeat(40),
        "]".repeat(40)
    );
    for bad in [
        "null",
        "[[[]]]",
        "{}",
        r#"{"event":"a b"}"#,
        r#"{"data":{"event":"x"}}"#,
        r#"{"event":"x","to":"y"}"#,
        r#"{"event":"x","at":1.5,"data":[{},"]"]}"#,
        r#"{"event":"x","event":"x"}"#,
        &deep,
    ] {
        let frame = format!(r#"{{"v":1,"events":[{{"event":"a"}},{bad},{{"event":"b"}}]}}"#);
        assert_eq!(
            names(frame.as_bytes()),
            [Some("a"), None, Some("b")],
            "{bad}"
        );
    }
}

#[test]
fn a_malformed_message_pack_event_does_not_affect_the_others() {
    let deep = [&[0x92, 0xa1, b'x'][..], &[0x91; 40], &[0xc0]].concat();
    for bad in [
        &[0xc0][..],
        &[0x91, 0x91, 0x90],
        b"\x92\xa3a b\xc4\x00",
        b"\x92\xa1x\xa1y",
        b"\x93\xa1x\xc4\x00\xa1y",
        b"\x94\xa1x\xc4\x00\xc0\xff",
        b"\x95\xa1x\xc4\x00\xc0\xc0\x81\x01\x92\x01\x02",
        &deep,
    ] {
        let good = |name: u8| [0x92, 0xa1, name, 0xc4, 0];
        let frame = [
            &[0x94, 1, 0xc0, 0xc0, 0x93][..],
            &good(b'a'),
            bad,
            &good(b'b'),
        ]
        .concat();
        assert_eq!(names(&frame), [Some("a"), None, Some("b")], "{bad:?}");
    }
}

#[test]
fn a_frame_with_a_syntax_error_delivers_no_events() {
    let mut events = Vec::new();
    let frame = br#"{"v":1,"events":[{"event":"a"},{"event":"b"]}"#;
    let rejected = read_frame(frame, &Limits::default(), &mut events);
    assert_eq!(rejected, Err(FrameError::Syntax { position: 43 }));
    assert!(events.is_empty());
}

#[test]
fn an_error_names_its_position() {
    let mut events = Vec::new();
    let frame = br#"{"v":1,"events":[{"event":"a","to":"b"},7]}"#;
    read_frame(frame, &Limits::default(), &mut events).unwrap();
    assert_eq!(
        events[0],
        Err(EventError::Field {
            field: "to",
            position: 35
        })
    );
    assert_eq!(events[1], Err(EventError::NotAnEvent { position: 40 }));
    assert_eq!(
        events[0].unwrap_err().to_string(),
        "the event's `to` is invalid, at byte 35"
    );
}

#[test]
fn a_time_applies_to_the_following_events() {
    let times = |events: &str| {
        let frame = format!(r#"{{"v":1,"events":[{events}]}}"#);
        let mut events = Vec::new();
        read_frame(frame.as_bytes(), &Limits::default(), &mut events).unwrap();
        events
            .iter()
            .map(|event| event.ok().map(|event| event.at))
            .collect::<Vec<_>>()
    };
    let (with_5, without) = (r#"{"event":"a","at":5}"#, r#"{"event":"a"}"#);
    assert_eq!(
        times(&format!("{without},{with_5},{without}")),
        [Some(0), Some(5), Some(5)]
    );
    let zero = r#"{"event":"a","at":0}"#;
    assert_eq!(
        times(&format!("{with_5},{zero},{without}")),
        [Some(5), Some(0), Some(0)]
    );
    // The event is malformed, but its time is valid.
    let nameless = r#"{"at":6}"#;
    assert_eq!(
        times(&format!("{with_5},{nameless},{without}")),
        [Some(5), None, Some(6)]
    );
    // An invalid time still ends the previous one.
    let unreadable = r#"{"event":"a","at":-1}"#;
    assert_eq!(
        times(&format!("{with_5},{unreadable},{without}")),
        [Some(5), None, Some(0)]
    );
}

struct PanicsHalfWay;

impl Serialize for PanicsHalfWay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_seq(Some(2))?.serialize_element(&1)?;
        panic!("half way")
    }
}

#[test]
fn only_a_complete_payload_of_the_same_format_is_copied() {
    for format in [Format::Json, Format::MessagePack] {
        let mut whole = Vec::new();
        format.encode(&["a"], &mut whole).unwrap();
        let cut = &whole[..whole.len() - 1];
        let long = [&*whole, b"1"].concat();
        let other = match format {
            Format::Json => Format::MessagePack,
            Format::MessagePack => Format::Json,
        };
        let copy = |of, bytes: &[u8]| {
            let mut writer = FrameWriter::new(format, NodeId::new(1));
            let payload = Payload::new(of, bytes);
            writer.push(NewEvent::to_all("a"), |into| into.copy(payload))?;
            Ok(writer.finish(1))
        };
        assert_eq!(names(&copy(format, &whole).unwrap()), [Some("a")]);
        for (of, bytes) in [(format, cut), (format, &*long), (other, &*whole)] {
            let rejected = copy(of, bytes);
            assert!(
                matches!(
                    rejected,
                    Err(WriteError::Encode(EncodeError::InvalidPayload))
                ),
                "{rejected:?}"
            );
        }
    }
}

#[test]
fn a_failed_write_leaves_the_frame_unchanged() {
    for format in [Format::Json, Format::MessagePack] {
        let mut writer = FrameWriter::new(format, NodeId::new(1));
        let good = NewEvent {
            at: Some(5),
            ..NewEvent::to_all("good")
        };
        let number = |into: Encoder<'_>| into.encode(&1);
        writer.push(good, number).unwrap();
        let len = writer.len();

        let bad_name = writer.push(NewEvent::to_all("a b"), number);
        assert!(matches!(bad_name, Err(WriteError::Name(_))));
        let bad_meta = writer.push(
            NewEvent {
                meta: &[("k", "v"); 65],
                ..good
            },
            number,
        );
        assert!(matches!(
            bad_meta,
            Err(WriteError::TooMuchMeta { entries: 65 })
        ));
        let late = NewEvent {
            at: Some(6),
            to: To::Others,
            ..good
        };
        let large = writer.push(late, |into| into.encode(&"x".repeat(1 << 20)));
        assert!(matches!(large, Err(WriteError::TooLarge { .. })));
        let panicking =
            std::panic::AssertUnwindSafe(|| writer.push(late, |into| into.encode(&PanicsHalfWay)));
        std::panic::catch_unwind(panicking).unwrap_err();

        assert_eq!((writer.len(), writer.events()), (len, 1));
        let mut same = FrameWriter::new(format, NodeId::new(1));
        same.push(good, number).unwrap();
        assert_eq!(writer.finish(9), same.finish(9));
    }
}

#[test]
fn a_full_frame_is_reported_and_can_be_read() {
    for format in [Format::Json, Format::MessagePack] {
        let mut writer = FrameWriter::new(format, NodeId::new(1));
        let kilobyte = "x".repeat(1000);
        let rejected = loop {
            if let Err(rejected) = writer.push(NewEvent::to_all("a"), |into| into.encode(&kilobyte))
            {
                break rejected;
            }
        };
        assert!(matches!(rejected, WriteError::Full));
        let events = writer.events() as usize;
        assert!(events > 1000);
        let frame = writer.finish(u64::MAX / 2);
        assert!(frame.len() <= Limits::FRAME);
        assert_eq!(names(&frame).len(), events);
    }
}

#[test]
fn a_frame_is_full_for_each_event_that_fits_into_a_new_one() {
    let first = NewEvent {
        at: Some(5),
        ..NewEvent::to_all("first")
    };
    for format in [Format::Json, Format::MessagePack] {
        for (at, to, meta) in [
            (None, To::All, &[][..]),
            (None, To::Others, &[]),
            (None, To::All, &[("k", "v")]),
            (Some(0), To::All, &[]),
            (Some(5), To::All, &[]),
            (Some(5), To::Others, &[("k", "v")]),
            (Some(u64::MAX), To::Others, &[]),
        ] {
            let event = NewEvent {
                name: "second",
                to,
                at,
                meta,
            };
            let alone = |payload: usize| {
                let mut writer = FrameWriter::new(format, NodeId::new(1));
                writer.push(event, |into| into.encode(&"x".repeat(payload)))
            };
            let second = |payload: usize| {
                let mut writer = FrameWriter::new(format, NodeId::new(1));
                writer.push(first, |into| into.encode(&1)).unwrap();
                writer.push(event, |into| into.encode(&"x".repeat(payload)))
            };
            let Err(WriteError::TooLarge { bytes, limit }) = alone(Limits::FRAME) else {
                panic!("the payload alone fills a frame");
            };
            let longest = Limits::FRAME - (bytes - limit);
            assert_eq!(alone(longest).unwrap(), limit);
            let full = second(longest);
            assert!(matches!(full, Err(WriteError::Full)), "{format} {event:?}");
            let (one, other) = (alone(longest + 1), second(longest + 1));
            assert!(matches!(one, Err(WriteError::TooLarge { .. })));
            assert_eq!(format!("{one:?}"), format!("{other:?}"), "{event:?}");
        }
    }
}

#[test]
fn a_frame_has_at_most_65_536_events() {
    for format in [Format::Json, Format::MessagePack] {
        let mut writer = FrameWriter::new(format, NodeId::new(1));
        let nothing = |_: Encoder<'_>| Ok(());
        // JSON events take more than 16 bytes each, so a JSON frame is full earlier.
        while writer.push(NewEvent::to_all("a"), nothing).is_ok() {}
        assert!(format == Format::Json || writer.events() == 65_536);
        let frame = writer.finish(1);
        assert!(names(&frame).iter().all(|name| *name == Some("a")));
    }
}

#[test]
fn white_space_does_not_change_a_payload() {
    let spread = b"{\"a\":\t[1,\n\t2],\r\n\"b\":\"\\t\\n\"}";
    let mut writer = FrameWriter::new(Format::Json, NodeId::new(1));
    for name in ["first", "second"] {
        let payload = Payload::new(Format::Json, spread);
        writer
            .push(NewEvent::to_all(name), |into| into.copy(payload))
            .unwrap();
    }
    let frame = writer.finish(1);
    assert_eq!(names(&frame), [Some("first"), Some("second")]);

    let mut events = Vec::new();
    let header = read_frame(&frame, &Limits::default(), &mut events).unwrap();
    let expected: serde_json::Value = serde_json::from_slice(spread).unwrap();
    for event in events {
        let payload = event.unwrap().payload(header.format, &frame);
        assert_eq!(payload.decode::<serde_json::Value>().unwrap(), expected);
    }
}

#[test]
fn a_tab_within_an_event_that_promises_none_is_detected() {
    // Searching for tabs finds other payloads here than matching brackets.
    let frames = [
        "{\"events\":[\t{\"event\":\"a\",\"data\":{\"b\":{},\t\"c\":1}}\t],\"v\":1}",
        "{\"events\":[\t{\"event\":\"a\",\"data\":[{}\t,{}]}\t],\"v\":1}",
    ];
    for frame in frames {
        let mut events = Vec::new();
        let read = read_frame(frame.as_bytes(), &Limits::default(), &mut events);
        let is_detected = read.is_err()
            || events.iter().flatten().any(|event| {
                let payload = event.payload(Format::Json, frame.as_bytes());
                payload.decode::<serde_json::Value>().is_err()
            });
        assert!(is_detected, "{frame}");
    }
}

#[test]
fn a_frame_that_breaks_its_promise_of_tabs_is_read_without_them() {
    // A search for tabs would take the last two events for one, and begin again with each event.
    let frame = "{\"events\":[\t{\"event\":\"a\",\"data\":[1,\t2]},\
                 {\"event\":\"b\",\"data\":1},{\"event\":\"c\",\"data\":2}\t],\"v\":1}";
    assert_eq!(names(frame.as_bytes()), [Some("a"), Some("b"), Some("c")]);
}
