//! Hostile frames: each has an expected outcome, and none causes a panic.

mod json;
mod msgpack;

use serde::Deserialize;
use serde_json::Value;
use tidings_codec::{Limits, read_frame};

/// The name of a case, its frame and the expected outcome.
type Case = (&'static str, Vec<u8>, Outcome);

/// The outcome of reading a frame, by its worst event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The frame is rejected.
    Rejected,
    /// An event is malformed.
    Malformed,
    /// The payload of an event is not a value.
    Undecodable,
    /// The payload is a value, but of another type.
    Mistyped,
    /// All events are read.
    Read,
}

#[derive(Debug, Deserialize)]
struct Order {
    #[serde(rename = "id")]
    _id: u64,
    #[serde(rename = "inner")]
    _inner: Option<Box<Order>>,
}

fn outcome(frame: &[u8]) -> Outcome {
    let mut events = Vec::new();
    let Ok(header) = read_frame(frame, &Limits::default(), &mut events) else {
        assert!(events.is_empty(), "a rejected frame leaves no events");
        return Outcome::Rejected;
    };
    let outcomes = events.into_iter().map(|event| {
        let Ok(event) = event else {
            return Outcome::Malformed;
        };
        let payload = event.payload(header.format, frame);
        let typed = payload.decode::<Order>();
        let is_meta_fine = event.meta(header.format, frame).is_ok();
        match payload.decode::<Value>() {
            Ok(_) if is_meta_fine && typed.is_ok() => Outcome::Read,
            Ok(_) if is_meta_fine => Outcome::Mistyped,
            _ => Outcome::Undecodable,
        }
    });
    outcomes.min().unwrap_or(Outcome::Read)
}

/// Runs all cases on a small stack, which recursion on the input would overflow.
fn check(cases: Vec<Case>) {
    assert!(cases.len() >= 40, "only {} cases", cases.len());
    for (name, frame, expected) in cases {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(256 * 1024);
        let seen = thread.spawn(move || outcome(&frame)).unwrap().join();
        assert_eq!(seen.expect(name), expected, "{name}");
    }
}

#[test]
fn hostile_json_frames_are_read_as_expected() {
    check(json::cases());
}

#[test]
fn hostile_message_pack_frames_are_read_as_expected() {
    check(msgpack::cases());
}

#[test]
fn a_frame_that_is_cut_off_anywhere_is_rejected() {
    for frame in [json::whole_frame(), msgpack::whole_frame()] {
        assert_eq!(outcome(&frame), Outcome::Read);
        for end in 0..frame.len() {
            assert_eq!(
                outcome(&frame[..end]),
                Outcome::Rejected,
                "cut off at {end}"
            );
        }
    }
}

#[test]
fn a_frame_with_trailing_bytes_is_rejected() {
    for frame in [json::whole_frame(), msgpack::whole_frame()] {
        for byte in (0..=u8::MAX).filter(|byte| frame[0] != b'{' || !b" \n\r\t".contains(byte)) {
            let longer = [&frame[..], &[byte]].concat();
            assert_eq!(outcome(&longer), Outcome::Rejected, "{byte:#x} at the end");
        }
    }
}
