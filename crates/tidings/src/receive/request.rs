//! A received request, while its handlers run.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;
use tidings_codec::{EncodeError, Encoder, Format, Header, NodeId, Payload, RawEvent};

use crate::error::failure::{Failure, HandlerFailure};
use crate::error::report;
use crate::event::name::is_control_event;
use crate::task::mutex::Mutex;
use crate::task::panic::caught;

/// The entry of an event's `meta` that holds a request's id, in the request and in its responses.
pub(crate) const REQUEST_ID: &str = "request";

/// The maximum length of an error text in a response, in bytes.
const MAX_TEXT: usize = 1 << 10;

/// The error text for a handler that was never called, or that did not end.
const NOT_HANDLED: &str = "not handled: the handler's queue was full, or the handler was removed";

/// The error text of a bus that has removed its handlers.
const SHUTTING_DOWN: &str = "not handled: the bus is shutting down";

/// A received request. The response is sent when all handlers of the event have ended, or when the
/// last reference is dropped.
#[derive(Debug)]
pub(crate) struct IncomingRequest {
    requests: Arc<dyn Respond>,
    from: RequestMeta,
    state: Mutex<RequestState>,
}

/// The part of a bus that sends and receives responses.
pub(crate) trait Respond: fmt::Debug + Send + Sync {
    /// The format of responses.
    fn format(&self) -> Format;

    /// Returns true if this bus waits for a response.
    fn is_any_open(&self) -> bool;

    /// Sends a response. Its loss is not reported here: the requester misses it.
    fn reply(self: Arc<Self>, to: RequestMeta, reply: Reply);

    /// Ends all waits for responses: the bus has shut down.
    fn close(&self);
}

/// The id of a request: a random number of the requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestId(pub(crate) u64);

/// The requester and id of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestMeta {
    pub(crate) by: NodeId,
    pub(crate) id: RequestId,
}

/// The outcome of a request in this process.
#[derive(Debug)]
pub(crate) enum Reply {
    /// With the encoded value; empty for null.
    Handled(Vec<u8>),
    Failed(String),
    NoHandler,
}

#[derive(Debug)]
struct RequestState {
    /// The number of handlers that have not ended.
    running: usize,
    value: Vec<u8>,
    failure: Option<String>,
}

impl IncomingRequest {
    pub(crate) fn new(
        requests: &Arc<dyn Respond>,
        from: RequestMeta,
        handlers: usize,
    ) -> Arc<Self> {
        let state = RequestState {
            running: handlers,
            value: Vec::new(),
            failure: None,
        };
        Arc::new(Self {
            requests: Arc::clone(requests),
            from,
            state: Mutex::new(state),
        })
    }

    /// Sets the value of the response. The first value that is not null counts.
    pub(crate) fn answer<A: Serialize + ?Sized>(&self, value: &A) -> Result<(), EncodeError> {
        let format = self.requests.format();
        let mut bytes = Vec::new();
        // Not under the lock: `Serialize` is code of the application.
        Encoder::new(format, &mut bytes).encode(value)?;
        let mut state = self.state.lock();
        if state.value.is_empty() && !Payload::new(format, &bytes).is_null() {
            state.value = bytes;
        }
        Ok(())
    }

    /// Counts a handler as done. The first failure counts.
    pub(crate) fn end(&self, failure: Option<String>) {
        let mut state = self.state.lock();
        state.running = state.running.saturating_sub(1);
        if state.failure.is_none() {
            state.failure = failure;
        }
        if state.running == 0 {
            let reply = state.reply();
            drop(state);
            Arc::clone(&self.requests).reply(self.from, reply);
        }
    }
}

impl Drop for IncomingRequest {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.running == 0 {
            return;
        }
        let failure = state.failure.take();
        drop(state);
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
    /// The reply of a process without a handler for the event.
    pub(crate) fn without_handler(is_over: bool) -> Self {
        if is_over {
            Self::Failed(SHUTTING_DOWN.to_owned())
        } else {
            Self::NoHandler
        }
    }
}

/// The text of a failure for the requester, without the event and the handler, which it knows.
pub(crate) fn failure_text(failure: &Failure) -> String {
    match failure {
        Failure::Handler { cause, .. } => match cause {
            HandlerFailure::Failed(error) => error_text(report(&**error)),
            cause => error_text(cause),
        },
        failure => error_text(report(failure)),
    }
}

/// The text of an error, cut to [`MAX_TEXT`]. `Display` is code of the application and may panic.
pub(crate) fn error_text(error: impl fmt::Display) -> String {
    let text = caught(|| error.to_string());
    let mut text = text.unwrap_or_else(|_| "the error panicked when it was formatted".to_owned());
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// The request's metadata, if the event is a request.
#[inline]
pub(crate) fn request_meta(event: &RawEvent, header: Header, frame: &[u8]) -> Option<RequestMeta> {
    if !event.may_have_meta(REQUEST_ID, frame) {
        return None;
    }
    read_request_meta(event, header, frame)
}

#[cold]
fn read_request_meta(event: &RawEvent, header: Header, frame: &[u8]) -> Option<RequestMeta> {
    // Responses are control events: a response to a response would have no end.
    if is_control_event(event.name_bytes(frame)) {
        return None;
    }
    let meta = event.meta(header.format, frame).ok()?;
    let id = meta.get(REQUEST_ID)?.parse().ok()?;
    let by = header.from?;
    Some(RequestMeta { by, id })
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The text is not a request id.
#[derive(Debug)]
pub(crate) struct InvalidRequestId;

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let is_ours = text.len() == 16
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_ours {
            return Err(InvalidRequestId);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidRequestId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_text_is_cut_between_two_characters() {
        assert_eq!(error_text("ä".repeat(600) + "x"), "ä".repeat(512));
    }

    #[test]
    fn an_error_that_panics_in_display_has_a_text() {
        struct Panics;
        impl fmt::Display for Panics {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("on purpose")
            }
        }
        assert_eq!(
            error_text(Panics),
            "the error panicked when it was formatted"
        );
    }

    #[test]
    fn an_id_is_parsed_only_in_the_form_in_which_it_is_written() {
        let id = RequestId(0xab);
        assert_eq!(id.to_string(), "00000000000000ab");
        assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
        for other in ["", "ab", "00000000000000AB", "+0000000000000ab", "äääääääa"] {
            assert!(other.parse::<RequestId>().is_err(), "{other}");
        }
    }
}
