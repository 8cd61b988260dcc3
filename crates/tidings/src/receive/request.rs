//! An event that somebody wants to be answered, while its handlers are at work.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tidings_codec::{EncodeError, Encoder, Format, Header, NodeId, Payload, RawEvent};

use crate::error::failure::{Failure, HandlerFailure};
use crate::error::report;
use crate::event::name::is_control_event;
use crate::task::panic::caught;

/// The entry of an event's `meta` that makes it an ask, and says in an answer what it answers.
pub(crate) const ASK: &str = "request";

/// How much of an error's text travels.
const TEXT: usize = 1 << 10;

/// What is said of a handler that was never called, or that did not come to its end.
const NOT_HANDLED: &str = "it was not handled: its queue was full, or it ended first";

/// What is said by a bus that has taken back its handlers.
const SHUTTING_DOWN: &str = "it was not handled: the bus is being shut down";

/// One ask as it was heard. Its answer leaves when all handlers of the event have ended, or when
/// the last of what they were given is dropped.
#[derive(Debug)]
pub(crate) struct IncomingRequest {
    requests: Arc<dyn Respond>,
    from: RequestMeta,
    inside: Mutex<RequestState>,
}

/// What is needed of the asks of a bus, to read events.
pub(crate) trait Respond: fmt::Debug + Send + Sync {
    /// The format that answers are written in.
    fn format(&self) -> Format;

    /// Whether this bus waits for an answer.
    fn is_any_open(&self) -> bool;

    /// Sends an answer. Its loss is not reported here: it is missing there.
    fn reply(self: Arc<Self>, to: RequestMeta, reply: Reply);

    /// Waits for no answer any more: the bus has ended.
    fn close(&self);
}

/// The number of an ask, drawn by who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AskId(pub(crate) u64);

/// Who asked, and under which id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestMeta {
    pub(crate) by: NodeId,
    pub(crate) id: AskId,
}

/// What becomes of an ask in this process.
#[derive(Debug)]
pub(crate) enum Reply {
    /// With a payload in this bus's own format; an empty one is null.
    Handled(Vec<u8>),
    Failed(String),
    NoHandler,
}

#[derive(Debug)]
struct RequestState {
    /// How many handlers have not ended.
    running: usize,
    value: Vec<u8>,
    failure: Option<String>,
}

impl IncomingRequest {
    /// An ask for so many handlers.
    pub(crate) fn new(
        requests: &Arc<dyn Respond>,
        from: RequestMeta,
        handlers: usize,
    ) -> Arc<Self> {
        let inside = RequestState {
            running: handlers,
            value: Vec::new(),
            failure: None,
        };
        Arc::new(Self {
            requests: Arc::clone(requests),
            from,
            inside: Mutex::new(inside),
        })
    }

    /// Keeps the value as the answer. The first that is not null counts.
    pub(crate) fn answer<A: Serialize + ?Sized>(&self, value: &A) -> Result<(), EncodeError> {
        let format = self.requests.format();
        let mut bytes = Vec::new();
        // Not under the lock: it is the application's code.
        Encoder::new(format, &mut bytes).encode(value)?;
        let mut inside = self.lock();
        if inside.value.is_empty() && !Payload::new(format, &bytes).is_null() {
            inside.value = bytes;
        }
        Ok(())
    }

    /// One handler has ended; `failure` says how, when not well. The first failure counts.
    pub(crate) fn end(&self, failure: Option<String>) {
        let mut inside = self.lock();
        inside.running = inside.running.saturating_sub(1);
        if inside.failure.is_none() {
            inside.failure = failure;
        }
        if inside.running == 0 {
            let reply = inside.reply();
            drop(inside);
            Arc::clone(&self.requests).reply(self.from, reply);
        }
    }

    fn lock(&self) -> MutexGuard<'_, RequestState> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for IncomingRequest {
    fn drop(&mut self) {
        let mut inside = self.lock();
        if inside.running == 0 {
            return;
        }
        let failure = inside.failure.take();
        drop(inside);
        let failure = failure.unwrap_or_else(|| NOT_HANDLED.to_owned());
        Arc::clone(&self.requests).reply(self.from, Reply::Failed(failure));
    }
}

impl RequestState {
    fn reply(&mut self) -> Reply {
        match self.failure.take() {
            Some(text) => Reply::Failed(text),
            None => Reply::Handled(std::mem::take(&mut self.value)),
        }
    }
}

impl Reply {
    /// Of a process in which nothing hears the event.
    pub(crate) fn without_handler(is_over: bool) -> Self {
        if is_over {
            Self::Failed(SHUTTING_DOWN.to_owned())
        } else {
            Self::NoHandler
        }
    }
}

/// What the one who asked is told of a failure. Which event and handler it was, is known there.
pub(crate) fn why(failure: &Failure) -> String {
    match failure {
        Failure::Handler { cause, .. } => match cause {
            HandlerFailure::Failed(error) => words(report(&**error)),
            cause => words(cause),
        },
        failure => words(report(failure)),
    }
}

/// The words of an error, as many as travel. They are the application's code, and may panic.
pub(crate) fn words(error: impl fmt::Display) -> String {
    let told = caught(|| error.to_string());
    let mut words = told.unwrap_or_else(|_| "it failed, and cannot say why".to_owned());
    words.truncate(words.floor_char_boundary(TEXT));
    words
}

/// Who wants this event to be answered, if somebody does.
#[inline]
pub(crate) fn question(event: &RawEvent, header: Header, frame: &[u8]) -> Option<RequestMeta> {
    if !event.may_have_meta(ASK, frame) {
        return None;
    }
    read_question(event, header, frame)
}

#[cold]
fn read_question(event: &RawEvent, header: Header, frame: &[u8]) -> Option<RequestMeta> {
    // An answer to an answer would have no end.
    if is_control_event(event.name_bytes(frame)) {
        return None;
    }
    let meta = event.meta(header.format, frame).ok()?;
    let id = meta.get(ASK)?.parse().ok()?;
    let by = header.from?;
    Some(RequestMeta { by, id })
}

impl fmt::Display for AskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// It is no number that we have drawn, and nobody's.
#[derive(Debug)]
pub(crate) struct NotAnAsk;

impl FromStr for AskId {
    type Err = NotAnAsk;

    fn from_str(text: &str) -> Result<Self, NotAnAsk> {
        let is_ours = text.len() == 16
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_ours {
            return Err(NotAnAsk);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| NotAnAsk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let words = words("ä".repeat(600) + "x");
        assert_eq!(words, "ä".repeat(512));
    }

    #[test]
    fn an_error_that_panics_when_it_is_told_is_told_of() {
        struct Panics;
        impl fmt::Display for Panics {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("on purpose")
            }
        }
        assert_eq!(words(Panics), "it failed, and cannot say why");
    }

    #[test]
    fn an_id_is_read_as_it_is_written_and_in_no_other_way() {
        let id = AskId(0xab);
        assert_eq!(id.to_string(), "00000000000000ab");
        assert_eq!(id.to_string().parse::<AskId>().unwrap(), id);
        for other in ["", "ab", "00000000000000AB", "+0000000000000ab", "äääääääa"] {
            assert!(other.parse::<AskId>().is_err(), "{other}");
        }
    }
}
