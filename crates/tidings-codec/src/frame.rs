//! The header and the events of a frame that was read.

use std::collections::BTreeMap;
use std::ops::Range;

use memchr::memmem;

use crate::{DecodeError, Format, NodeId, Payload};

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The format of the frame and its payloads.
    pub format: Format,
    /// The node that sent the frame; `None` if the sender is not a node.
    pub from: Option<NodeId>,
    /// The sequence number of the first event, counted from 1. In a frame without events, that of
    /// the next event. Present if `from` is.
    pub seq: Option<u64>,
}

/// The nodes that an event is addressed to.
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

/// An event of a frame, not yet decoded.
///
/// It holds positions instead of bytes: its methods take the frame that it was read from. With
/// another frame their results are meaningless, but they never panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEvent {
    /// The nodes that the event is addressed to.
    pub to: To,
    /// The time of sending, in milliseconds since 1970; 0 if unknown.
    pub at: u64,
    pub(crate) name: Span,
    pub(crate) payload: Span,
    pub(crate) meta: Span,
}

impl RawEvent {
    /// Returns the event's name.
    pub fn name<'a>(&self, frame: &'a [u8]) -> &'a str {
        // The reader checked that a name is ASCII.
        str::from_utf8(self.name_bytes(frame)).unwrap_or_default()
    }

    /// Returns the event's name as ASCII bytes.
    pub fn name_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        self.name.of(frame)
    }

    /// Returns the event's payload; null if it has none. `format` is that of the frame's [`Header`].
    pub fn payload<'a>(&self, format: Format, frame: &'a [u8]) -> Payload<'a> {
        Payload::new(format, self.payload.of(frame))
    }

    /// Returns the byte range of the event's payload in the frame, to read it later with
    /// [`Payload::new`].
    pub const fn payload_range(&self) -> Range<u32> {
        self.payload.start..self.payload.end
    }

    /// Returns whether the event has a [`meta`](Self::meta).
    #[inline]
    pub const fn has_meta(&self) -> bool {
        !self.meta.is_empty()
    }

    /// Returns whether the event's [`meta`](Self::meta) may have this key. This searches the bytes
    /// without decoding them: `false` is certain, `true` is not. Nodes write keys without escapes.
    #[inline]
    pub fn may_have_meta(&self, key: &str, frame: &[u8]) -> bool {
        self.has_meta() && contains(self.meta.of(frame), key)
    }

    /// Decodes the headers of the event, such as trace context. Each call decodes them again.
    ///
    /// # Errors
    ///
    /// When `meta` is not a map from texts to texts.
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

/// Stays out of line, so that the check of an event without `meta` is inlined.
#[cold]
fn contains(meta: &[u8], key: &str) -> bool {
    memmem::find(meta, key.as_bytes()).is_some()
}

/// A byte range in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "read_frame rejects frames beyond 32 bits"
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
    use crate::EventError;

    #[test]
    fn an_event_and_its_error_take_56_bytes() {
        assert_eq!(size_of::<RawEvent>(), 56);
        assert_eq!(size_of::<Result<RawEvent, EventError>>(), 56);
    }
}
