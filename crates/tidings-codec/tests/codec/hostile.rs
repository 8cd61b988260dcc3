//! Frames that mean harm: each is refused where it should be, and none does any.

mod json;
mod msgpack;

use serde::Deserialize;
use serde_json::Value;
use tidings_codec::{Limits, read_frame};

/// A name to find it by, the frame, and what has to become of it.
type Case = (&'static str, Vec<u8>, Outcome);

/// How far a frame gets, by its worst event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The frame is an error, and nothing of it is delivered.
    Refused,
    /// An event is an error in its place.
    Spoiled,
    /// The event is delivered, but no type can be read from its payload.
    Undecodable,
    /// The payload is a value, but not of the type that is expected.
    Mistyped,
    /// All is well.
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
        assert!(events.is_empty(), "a refused frame leaves no events");
        return Outcome::Refused;
    };
    let outcomes = events.into_iter().map(|event| {
        let Ok(event) = event else {
            return Outcome::Spoiled;
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

/// Runs every case on a stack so small that recursion on the input would end it.
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
fn no_json_frame_does_harm() {
    check(json::cases());
}

#[test]
fn no_message_pack_frame_does_harm() {
    check(msgpack::cases());
}

#[test]
fn a_frame_that_is_cut_off_anywhere_is_refused() {
    for frame in [json::whole_frame(), msgpack::whole_frame()] {
        assert_eq!(outcome(&frame), Outcome::Read);
        for end in 0..frame.len() {
            assert_eq!(outcome(&frame[..end]), Outcome::Refused, "cut off at {end}");
        }
    }
}

#[test]
fn a_frame_that_goes_on_after_its_end_is_refused() {
    for frame in [json::whole_frame(), msgpack::whole_frame()] {
        for byte in (0..=u8::MAX).filter(|byte| frame[0] != b'{' || !b" \n\r\t".contains(byte)) {
            let longer = [&frame[..], &[byte]].concat();
            assert_eq!(outcome(&longer), Outcome::Refused, "{byte:#x} at the end");
        }
    }
}
