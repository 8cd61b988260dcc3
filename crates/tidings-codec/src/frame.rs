//! What a frame holds, and the way into the two readers.

use std::collections::BTreeMap;
use std::ops::Range;

use memchr::memmem;

use crate::error::{EventError, FrameError};
use crate::{DecodeError, Format, Limits, NodeId, Payload, json, msgpack};

/// Reads a frame of either format: puts what is known of each event into `events`, and returns
/// what the frame says of itself.
///
/// No payload is decoded, and nothing is copied out of the frame. `events` is emptied first; its
/// room is used again. An event that is wrong in itself is an error in its place, and still
/// counts as a number; the others are not harmed.
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
/// When the frame as a whole cannot be trusted: too large, of no known format or version, its
/// structure broken or cut off, its header wrong. `events` is empty then.
pub fn read_frame(
    frame: &[u8],
    limits: &Limits,
    events: &mut Vec<Result<RawEvent, EventError>>,
) -> Result<Header, FrameError> {
    events.clear();
    let header = read_and_number(frame, limits, events);
    if header.is_err() {
        events.clear();
    }
    header
}

fn read_and_number(
    frame: &[u8],
    limits: &Limits,
    events: &mut Vec<Result<RawEvent, EventError>>,
) -> Result<Header, FrameError> {
    // Positions in a frame are kept in 32 bits.
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
            _ => return Err(FrameError::Unrecognised),
        },
    };
    match header.seq {
        Some(seq) if seq.checked_add(events.len() as u64).is_none() => Err(FrameError::Overflow),
        _ => Ok(header),
    }
}

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How the frame and its payloads are written.
    pub format: Format,
    /// The node that sent it; none where the sender is no node.
    pub from: Option<NodeId>,
    /// The number of its first event, from 1; with no events, of the next one. There exactly
    /// where `from` is.
    pub seq: Option<u64>,
}

/// Which nodes an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum To {
    /// Every node, the sender included.
    #[default]
    All,
    /// Every node but the sender.
    Others,
    /// One node.
    Node(NodeId),
}

/// An event of a frame, before anything is decoded.
///
/// It holds positions, not bytes: its methods want the frame that it was read from. Given
/// another, they answer nonsense, but never panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEvent {
    /// Which nodes it is for.
    pub to: To,
    /// When it was sent, in milliseconds since 1970; 0 where nobody said.
    pub at: u64,
    pub(crate) name: Span,
    pub(crate) payload: Span,
    pub(crate) meta: Span,
}

impl RawEvent {
    /// The event's name.
    pub fn name<'a>(&self, frame: &'a [u8]) -> &'a str {
        // A name has only ASCII characters: that was checked when it was read.
        str::from_utf8(self.name_bytes(frame)).unwrap_or_default()
    }

    /// The event's name as bytes, which are ASCII: for a look-up that needs no text.
    pub fn name_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        self.name.of(frame)
    }

    /// The event's payload; null where it has none. `format` is that of the frame's [`Header`].
    pub fn payload<'a>(&self, format: Format, frame: &'a [u8]) -> Payload<'a> {
        Payload::new(format, self.payload.of(frame))
    }

    /// Where the event's payload is in the frame: from one byte up to another. For who keeps the
    /// bytes and reads them later, with [`Payload::new`].
    pub const fn payload_range(&self) -> Range<u32> {
        self.payload.start..self.payload.end
    }

    /// Whether the event's [`meta`](Self::meta) may have this key: a look at its bytes, which says
    /// no for sure and yes by chance. It expects the key as nodes write it, without escapes.
    #[inline]
    pub fn may_have_meta(&self, key: &str, frame: &[u8]) -> bool {
        !self.meta.is_empty() && memmem::find(self.meta.of(frame), key.as_bytes()).is_some()
    }

    /// What else travels with the event, such as trace context. It is decoded at every call.
    ///
    /// # Errors
    ///
    /// When it is not a map of texts to texts.
    pub fn meta(
        &self,
        format: Format,
        frame: &[u8],
    ) -> Result<BTreeMap<String, String>, DecodeError> {
        match self.meta.of(frame) {
            [] => Ok(BTreeMap::new()),
            meta => Payload::new(format, meta).decode(),
        }
    }
}

/// Where something is in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "read_frame refuses frames beyond 32 bits"
    )]
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    const fn is_empty(self) -> bool {
        self.start == self.end
    }

    fn of(self, frame: &[u8]) -> &[u8] {
        frame
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_takes_56_bytes_whether_good_or_bad() {
        assert_eq!(size_of::<RawEvent>(), 56);
        assert_eq!(size_of::<Result<RawEvent, EventError>>(), 56);
    }

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
