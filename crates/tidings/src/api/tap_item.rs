//! The items of a tap.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use tidings_codec::{DecodeError, Format, Header, Payload, RawEvent, To};

use crate::error::failure::Failure;
use crate::error::gap::Gap;
use crate::event::header::Headers;
use crate::event::name::is_control_event;
use crate::event::position::JournalPosition;
use crate::event::sender::Sender;
use crate::observe::tap::TappedFrame;
use crate::receive::request::request_meta;

/// An item of a [`Tap`](crate::Tap).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TapItem {
    /// An event, or an event of the buses themselves.
    Event(TappedEvent),
    /// Events that are missing here. With [`GapReason::Overflow`](crate::GapReason::Overflow), this
    /// many items did not fit the queue of the tap; with every other reason, the bus did not receive
    /// them, or as [`Diverged`](crate::GapReason::Diverged) says, received what Redis has lost. Gaps
    /// of the queues of handlers are not shown.
    Gap(Gap),
    /// A frame, or an event of a frame, that cannot be read.
    Unreadable(Unreadable),
}

/// An event as a [`Tap`](crate::Tap) received it. Its payload is decoded on demand.
#[derive(Clone)]
pub struct TappedEvent {
    frame: Arc<TappedFrame>,
    header: Header,
    event: RawEvent,
    sequence: Option<u64>,
    sender_name: Option<Arc<str>>,
}

/// A frame, or an event of a frame, that cannot be read, as a [`Tap`](crate::Tap) received it.
#[derive(Clone)]
pub struct Unreadable {
    frame: Arc<TappedFrame>,
    failure: Arc<Failure>,
}

impl TappedEvent {
    pub(crate) fn new(
        frame: &Arc<TappedFrame>,
        header: Header,
        event: RawEvent,
        sequence: Option<u64>,
        sender_name: Option<Arc<str>>,
    ) -> Self {
        Self {
            frame: Arc::clone(frame),
            header,
            event,
            sequence,
            sender_name,
        }
    }

    /// Returns the event's name. It is one that a bus accepts, and ASCII.
    pub fn name(&self) -> &str {
        self.event.name(&self.frame.bytes)
    }

    /// Returns the node that sent the event.
    pub fn sender(&self) -> Sender {
        self.header.from.into()
    }

    /// Returns the name of the sender among the members, if it was one when this was read from the tap
    /// and the members are known. The sender chose the text: print it with
    /// [`Escaped`](crate::codec::Escaped).
    pub fn sender_name(&self) -> Option<&str> {
        self.sender_name.as_deref()
    }

    /// Returns the event's number among all events of its sender, counted from 1; `None` for a sender
    /// that is no bus.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// Returns the nodes that the event is for. An event to a role is sent to each node that has it.
    pub fn to(&self) -> To {
        self.event.to
    }

    /// Returns the time at which this bus received the event, by its own clock.
    pub fn received_at(&self) -> SystemTime {
        self.frame.received
    }

    /// Returns the time of sending by the sender's clock, if the sender gave it.
    pub fn sent_at(&self) -> Option<SystemTime> {
        let at = (self.event.at > 0).then(|| Duration::from_millis(self.event.at))?;
        UNIX_EPOCH.checked_add(at)
    }

    /// Returns the format of the event and its payload.
    pub fn format(&self) -> Format {
        self.header.format
    }

    /// Returns the payload, not decoded. Its bytes are untrusted input.
    pub fn payload(&self) -> Payload<'_> {
        self.event.payload(self.header.format, &self.frame.bytes)
    }

    /// Decodes the payload, for example as a `serde_json::Value`.
    ///
    /// # Errors
    ///
    /// When the payload is not what `T` takes.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.payload().decode()
    }

    /// Returns the [headers](crate::Sending::header) of the event. The sender chose the texts.
    pub fn headers(&self) -> BTreeMap<String, String> {
        let meta = self.event.meta(self.header.format, &self.frame.bytes);
        let headers = meta.ok().and_then(Headers::of);
        let texts = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        headers
            .iter()
            .flat_map(|all| all.iter().map(texts))
            .collect()
    }

    /// Returns whether the sender waits for responses.
    pub fn is_request(&self) -> bool {
        request_meta(&self.event, self.header, &self.frame.bytes).is_some()
    }

    /// Returns whether it is an event of the buses themselves, `tidings.…`.
    pub fn is_control(&self) -> bool {
        is_control_event(self.event.name_bytes(&self.frame.bytes))
    }

    /// Returns the position of the event in the [journal](crate::Journal), if it was read there.
    pub fn position(&self) -> Option<JournalPosition> {
        self.frame.journaled.map(|journaled| journaled.position)
    }

    /// Returns whether the event was in the [journal](crate::Journal) before this bus began to read it.
    pub fn is_replayed(&self) -> bool {
        self.frame
            .journaled
            .is_some_and(|journaled| journaled.is_replayed)
    }
}

impl fmt::Debug for TappedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TappedEvent")
            .field("name", &self.name())
            .field("sender", &*self.sender())
            .field("sequence", &self.sequence)
            .field("to", &self.to())
            .finish_non_exhaustive()
    }
}

impl Unreadable {
    pub(crate) fn new(frame: &Arc<TappedFrame>, failure: Failure) -> Self {
        Self {
            frame: Arc::clone(frame),
            failure: Arc::new(failure),
        }
    }

    /// Returns the node that sent the frame, if that can be read.
    pub fn sender(&self) -> Sender {
        self.frame.sender().into()
    }

    /// Returns the time at which this bus received the frame, by its own clock.
    pub fn received_at(&self) -> SystemTime {
        self.frame.received
    }

    /// Returns the bytes of the whole frame: untrusted input. They are empty for an entry of the journal
    /// without a frame.
    pub fn bytes(&self) -> &[u8] {
        &self.frame.bytes
    }

    /// Returns why it cannot be read. [`report`](crate::report) prints it with its source.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Returns the position of the frame in the [journal](crate::Journal), if it was read there.
    pub fn position(&self) -> Option<JournalPosition> {
        self.frame.journaled.map(|journaled| journaled.position)
    }
}

impl fmt::Debug for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unreadable")
            .field("sender", &*self.sender())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}
