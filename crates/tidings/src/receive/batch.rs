//! The events of one frame for one subscription, and a single event as a handler gets it.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tidings_codec::{DecodeError, Format, NodeId, Payload};

use crate::error::failure::Failure;
use crate::event::header::Headers;
use crate::event::position::Journaled;
use crate::observe::reports::Reports;
use crate::observe::trace::Remote;
use crate::receive::decoded::Decoded;
use crate::receive::request::{IncomingRequest, failure_text};

/// Tells by its drop that the events of a frame are finished.
pub(crate) type Unfinished = Arc<dyn fmt::Debug + Send + Sync>;

/// The events of one frame that one subscription gets.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The bytes that the payloads' ranges refer to: the frame, or a copy of the wanted payloads.
    pub(crate) bytes: Bytes,
    pub(crate) format: Format,
    pub(crate) from: Option<NodeId>,
    /// The names that the events' indices refer to.
    pub(crate) names: Arc<[Arc<str>]>,
    pub(crate) events: Vec<Item>,
    /// The size of the events' headers, which are decoded.
    pub(crate) header_bytes: usize,
    /// The place of the frame in the journal, if it was read there.
    pub(crate) journaled: Option<Journaled>,
    /// Dropped with the last event of the frame in any queue.
    pub(crate) unfinished: Option<Unfinished>,
    /// Receives the report if a payload panics when it is dropped.
    pub(crate) reports: Arc<Reports>,
}

/// One event of a batch.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) name: u32,
    pub(crate) payload: Range<u32>,
    /// The sequence number; 0 if the sender is not a bus.
    pub(crate) number: u64,
    /// Milliseconds since 1970; 0 if the frame has no time.
    pub(crate) at: u64,
    pub(crate) remote: Remote,
    pub(crate) shared: Option<Arc<Shared>>,
}

impl Item {
    pub(crate) fn number(&self) -> Option<u64> {
        (self.number > 0).then_some(self.number)
    }

    /// The request, if the event is one.
    #[inline]
    pub(crate) fn request(&self) -> Option<&Arc<IncomingRequest>> {
        self.shared.as_ref()?.extras.request.as_ref()
    }

    #[inline]
    pub(crate) fn headers(&self) -> Option<&Arc<Headers>> {
        self.shared.as_ref()?.extras.headers.as_ref()
    }

    /// Drops what it shares with other handlers, except for its headers.
    pub(crate) fn release(&mut self) {
        let extras = Extras::new(None, self.headers().cloned());
        self.shared = extras.map(|extras| Shared::new(Some(&extras)));
    }
}

/// The optional parts of an event besides its payload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) request: Option<Arc<IncomingRequest>>,
    pub(crate) headers: Option<Arc<Headers>>,
}

impl Extras {
    pub(crate) fn new(
        request: Option<Arc<IncomingRequest>>,
        headers: Option<Arc<Headers>>,
    ) -> Option<Self> {
        let is_any = request.is_some() || headers.is_some();
        is_any.then_some(Self { request, headers })
    }
}

/// State that the handlers of one event share: the decoded payload, the request and the headers.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The payload, decoded once for all handlers that take an `Arc` of it; `None` if decoding failed.
    decoded: OnceLock<Option<Decoded>>,
    extras: Extras,
}

impl Shared {
    pub(crate) fn new(extras: Option<&Extras>) -> Arc<Self> {
        Arc::new(Self {
            decoded: OnceLock::new(),
            extras: extras.cloned().unwrap_or_default(),
        })
    }
}

impl Batch {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.header_bytes
    }

    /// Keeps the first `events` and returns the rest, if there is one.
    pub(crate) fn split_off(&mut self, events: usize) -> Option<Self> {
        if events >= self.events.len() {
            return None;
        }
        Some(Self {
            bytes: self.bytes.clone(),
            format: self.format,
            from: self.from,
            names: Arc::clone(&self.names),
            events: self.events.split_off(events),
            header_bytes: self.header_bytes,
            journaled: self.journaled,
            unfinished: self.unfinished.clone(),
            reports: Arc::clone(&self.reports),
        })
    }

    /// Removes and returns the oldest `events`, unless these are all.
    pub(crate) fn drop_oldest(&mut self, events: usize) -> Option<Self> {
        if events == 0 {
            return None;
        }
        let rest = self.split_off(events)?;
        Some(std::mem::replace(self, rest))
    }

    pub(crate) fn received<'a>(&'a self, item: &'a Item) -> ReceivedEvent<'a> {
        ReceivedEvent { batch: self, item }
    }

    #[cfg(test)]
    pub(crate) fn for_test(numbers: std::ops::RangeInclusive<u64>, bytes: usize) -> Self {
        use crate::observe::health::Counts;
        let item = |number| Item {
            name: 0,
            payload: 0..0,
            number,
            at: 0,
            remote: Remote::default(),
            shared: None,
        };
        Self {
            bytes: vec![0; bytes].into(),
            format: Format::Json,
            from: None,
            names: Arc::from([Arc::from("tick")]),
            events: numbers.map(item).collect(),
            header_bytes: 0,
            journaled: None,
            unfinished: None,
            reports: Arc::new(Reports::new(Arc::new(Counts::new()))),
        }
    }
}

/// An event before it is decoded for a handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceivedEvent<'a> {
    batch: &'a Batch,
    item: &'a Item,
}

impl<'a> ReceivedEvent<'a> {
    pub(crate) fn name(&self) -> &'a Arc<str> {
        &self.batch.names[self.item.name as usize]
    }

    pub(crate) fn sender(&self) -> Option<NodeId> {
        self.batch.from
    }

    pub(crate) fn item(&self) -> &'a Item {
        self.item
    }

    pub(crate) fn journaled(&self) -> Option<Journaled> {
        self.batch.journaled
    }

    /// The span in which the event was sent.
    pub(crate) fn remote(&self) -> &'a Remote {
        &self.item.remote
    }

    /// Counts a handler as done, for the response to a request.
    #[inline]
    pub(crate) fn ended(&self, failure: Option<&Failure>) {
        if let Some(request) = self.item.request() {
            request.end(failure.map(failure_text));
        }
    }

    #[inline]
    pub(crate) fn payload(&self) -> Payload<'a> {
        let range = self.item.payload.start as usize..self.item.payload.end as usize;
        Payload::new(self.batch.format, &self.batch.bytes[range])
    }

    /// Decodes the payload, once for all handlers of an `Arc<E>`.
    pub(crate) fn shared<E: Send + Sync + 'static>(
        &self,
        decode: impl Fn() -> Result<E, DecodeError>,
    ) -> Result<Arc<E>, DecodeError> {
        let Some(shared) = &self.item.shared else {
            return decode().map(Arc::new);
        };
        let mut error = None;
        // Blocks the other handlers of this event for the time of one decoding.
        let decoded = shared.decoded.get_or_init(|| match decode() {
            Ok(payload) => {
                let sent = (self.batch.from, self.item.number());
                let reports = Arc::clone(&self.batch.reports);
                Some(Decoded::new(
                    payload,
                    Arc::clone(self.name()),
                    sent,
                    reports,
                ))
            }
            Err(undecodable) => {
                error = Some(undecodable);
                None
            }
        });
        match (decoded, error) {
            (Some(decoded), _) => {
                let decoded = decoded.get();
                Ok(decoded.expect("one cell is shared by handlers of one type only"))
            }
            (None, Some(error)) => Err(error),
            // Another handler could not decode it; each reports its own failure.
            (None, None) => decode().map(Arc::new),
        }
    }
}
