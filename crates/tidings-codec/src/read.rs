//! Reads frames of both formats.

use crate::{EventError, FrameError, Header, Limits, RawEvent, json, msgpack};

/// Reads a frame of either format into `events`, and returns its header.
///
/// Payloads are not decoded, and nothing is copied from the frame. `events` is cleared first, and
/// its capacity is reused. A malformed event is an error at its index and takes a sequence number;
/// the others are read.
///
/// ```
/// use tidings_codec::{Limits, read_frame};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let frame = br#"{"v":1,"events":[{"event":"no blanks, please"},{"event":"b","data":2}]}"#;
/// let mut events = Vec::new();
/// let header = read_frame(frame, &Limits::default(), &mut events)?;
/// assert_eq!(header.from, None);
/// assert!(events[0].is_err());
/// assert_eq!(events[1]?.name(frame), "b");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// When the frame is too large, has an unknown format or version, has a syntax error, is cut off, or
/// has an invalid header. `events` is then empty.
pub fn read_frame(
    frame: &[u8],
    limits: &Limits,
    events: &mut Vec<Result<RawEvent, EventError>>,
) -> Result<Header, FrameError> {
    events.clear();
    let header = read_any(frame, limits, events);
    if header.is_err() {
        events.clear();
    }
    header
}

fn read_any(
    frame: &[u8],
    limits: &Limits,
    events: &mut Vec<Result<RawEvent, EventError>>,
) -> Result<Header, FrameError> {
    // Positions in a frame have 32 bits.
    let limit = limits.frame.min(u32::MAX as usize);
    if frame.len() > limit {
        return Err(FrameError::TooLarge {
            bytes: frame.len(),
            limit,
        });
    }
    let header = match frame.trim_ascii_start().first() {
        Some(b'{') => json::read(frame, limits, events)?,
        _ => match frame.first() {
            Some(0x90..=0x9f | 0xdc | 0xdd) => msgpack::read(frame, limits, events)?,
            _ => return Err(FrameError::UnknownFormat),
        },
    };
    match header.seq {
        Some(seq) if seq.checked_add(events.len() as u64).is_none() => {
            Err(FrameError::SequenceOverflow)
        }
        _ => Ok(header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_in_no_meta_is_known_without_decoding_it() {
        let frame = br#"{"v":1,"events":[{"event":"request"},{"event":"a","meta":{"b":"c"}}]}"#;
        let mut events = Vec::new();
        read_frame(frame, &Limits::default(), &mut events).unwrap();
        let (without, with) = (events[0].unwrap(), events[1].unwrap());
        assert!(!without.may_have_meta("request", frame));
        assert!(!with.may_have_meta("request", frame));
        assert!(with.may_have_meta("b", frame));
    }

    #[test]
    fn an_event_asked_about_another_frame_does_not_panic() {
        let frame = br#"{"event":"cache.clear","meta":{"a":"b"},"data":7}"#;
        let mut events = Vec::new();
        let header = read_frame(frame, &Limits::default(), &mut events).unwrap();
        let event = events[0].unwrap();
        for other in [&b""[..], b"{}", &[0xff; 60]] {
            assert_eq!(event.name(other), "");
            let _ = event.payload(header.format, other).decode::<u8>();
            let _ = event.meta(header.format, other);
        }
    }
}
