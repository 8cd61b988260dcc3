//! Requests of this bus that wait for responses, and the responses that it sends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use tidings_codec::{EncodeError, Encoder, Format, NodeId, Payload, To};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

use crate::error::report;
use crate::error::send::SendError;
use crate::observe::trace::Carried;
use crate::receive::control::{ControlEvent, ControlListener};
use crate::receive::request::{REQUEST_ID, Reply, RequestId, RequestMeta, Respond, error_text};
use crate::send::outgoing::{Manner, Outgoing, Unwritten, Wait};
use crate::task::mutex::Mutex;

/// The event name of responses.
pub(crate) const RESPONSE: &str = "tidings.response";

const OUTCOME: &str = "outcome";
const ERROR: &str = "error";

const HANDLED: &str = "handled";
const FAILED: &str = "failed";
const NO_HANDLER: &str = "no-handler";

/// The maximum number of open requests.
pub(crate) const OPEN: usize = 1_024;

/// The number of responses that may wait for the caller beyond the expected ones.
const EXTRA: usize = 64;

/// The number of responses that may wait for room in a full send buffer.
const WAITING: usize = 256;

/// Both sides of all requests of one bus.
#[derive(Debug)]
pub(crate) struct PendingRequests {
    outgoing: Arc<Outgoing>,
    runtime: Handle,
    open: Mutex<HashMap<RequestId, Waiting>>,
    /// The number of open requests, readable without the lock for each frame.
    count: AtomicUsize,
    listens: Once,
    room: Arc<Semaphore>,
}

/// The channel to the caller that waits for the responses to one request.
#[derive(Debug)]
struct Waiting {
    responses: mpsc::Sender<ResponseMessage>,
    /// The number of responses that found the channel full.
    dropped: Arc<AtomicUsize>,
}

/// A response as it was received.
#[derive(Debug)]
pub(crate) struct ResponseMessage {
    pub(crate) from: NodeId,
    pub(crate) format: Format,
    pub(crate) reply: Reply,
}

/// A request of this bus, open until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    requests: Arc<PendingRequests>,
    pub(crate) id: RequestId,
    pub(crate) responses: mpsc::Receiver<ResponseMessage>,
    pub(crate) dropped: Arc<AtomicUsize>,
}

impl PendingRequests {
    pub(crate) fn new(outgoing: Arc<Outgoing>, runtime: Handle) -> Self {
        Self {
            outgoing,
            runtime,
            open: Mutex::default(),
            count: AtomicUsize::new(0),
            listens: Once::new(),
            room: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// Opens a request with this number of expected responses; `None` when too many are open.
    pub(crate) fn open(
        self: &Arc<Self>,
        listen: impl FnOnce(&'static str, Arc<dyn ControlListener>),
        expected: usize,
    ) -> Option<OpenRequest> {
        let (sender, responses) = mpsc::channel(expected + EXTRA);
        let dropped = Arc::default();
        let waiting = Waiting {
            responses: sender,
            dropped: Arc::clone(&dropped),
        };
        let id = RequestId(fastrand::u64(..));
        let mut open = self.open.lock();
        if open.len() >= OPEN {
            return None;
        }
        open.insert(id, waiting);
        self.count.store(open.len(), Ordering::Relaxed);
        drop(open);
        self.listens
            .call_once(|| listen(RESPONSE, Arc::clone(self) as Arc<dyn ControlListener>));
        Some(OpenRequest {
            requests: Arc::clone(self),
            id,
            responses,
            dropped,
        })
    }

    fn end(&self, id: RequestId) {
        let mut open = self.open.lock();
        let ended = open.remove(&id);
        self.count.store(open.len(), Ordering::Relaxed);
        drop(open);
        drop(ended);
    }

    /// Reports to the requesting node that the response could not be written.
    fn cannot_reply(self: &Arc<Self>, to: RequestMeta, error: &SendError) {
        tracing::debug!(error = %report(error), "cannot send a response");
        if matches!(error, SendError::Encode { .. } | SendError::TooLarge { .. }) {
            let text = error_text(format_args!("cannot send the response: {}", report(error)));
            if let Ok(false) | Err(_) = self.try_reply(to, &Reply::Failed(text)) {
                tracing::debug!("cannot send the reason either");
            }
        }
    }

    fn try_reply(&self, to: RequestMeta, reply: &Reply) -> Result<bool, SendError> {
        let id = to.id.to_string();
        let meta = reply.meta(&id);
        let event = unwritten(to, &meta);
        let write = |into: Encoder<'_>| reply.write(into);
        let ticket = self.outgoing.try_append(event, MANNER, &write)?;
        Ok(ticket.is_some())
    }

    /// Sends the response once there is room for it, in a task of its own.
    fn reply_later(self: &Arc<Self>, to: RequestMeta, reply: Reply) {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            tracing::debug!("dropped a response: too many wait for room");
            return;
        };
        let requests = Arc::clone(self);
        self.runtime.spawn(async move {
            let id = to.id.to_string();
            let meta = reply.meta(&id);
            let event = unwritten(to, &meta);
            let write = |into: Encoder<'_>| reply.write(into);
            if let Err(error) = requests.outgoing.append(event, MANNER, write).await {
                requests.cannot_reply(to, &error);
            }
            drop(place);
        });
    }
}

impl Respond for PendingRequests {
    fn format(&self) -> Format {
        self.outgoing.format
    }

    fn is_any_open(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    fn reply(self: Arc<Self>, to: RequestMeta, reply: Reply) {
        match self.try_reply(to, &reply) {
            Ok(true) => {}
            Ok(false) => self.reply_later(to, reply),
            Err(error) => self.cannot_reply(to, &error),
        }
    }

    fn close(&self) {
        let mut open = self.open.lock();
        self.count.store(0, Ordering::Relaxed);
        let waiting = std::mem::take(&mut *open);
        drop(open);
        drop(waiting);
    }
}

/// Responses are sent as awaited events, so that a lost one is not reported by the application's `flush`.
const MANNER: Manner = Manner {
    wait: Wait::Awaited,
    is_volatile: false,
};

/// Responses carry no trace context.
static UNTRACED: Carried = Carried::NOTHING;

fn unwritten<'a>(to: RequestMeta, meta: &'a [(&'a str, &'a str)]) -> Unwritten<'a> {
    Unwritten {
        name: RESPONSE,
        to: To::Node(to.by),
        carried: &UNTRACED,
        meta,
    }
}

impl ControlListener for PendingRequests {
    fn receive(&self, event: &ControlEvent<'_>) {
        let Some((id, received)) = ResponseMessage::of(event) else {
            tracing::debug!(from = ?event.from, "received a response that cannot be read");
            return;
        };
        // A response to a request that is no longer open is late, or forged.
        if let Some(waiting) = self.open.lock().get(&id)
            && waiting.responses.try_send(received).is_err()
        {
            waiting.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl ResponseMessage {
    fn of(event: &ControlEvent<'_>) -> Option<(RequestId, Self)> {
        let meta = event.meta()?;
        let id = meta.get(REQUEST_ID)?.parse().ok()?;
        let reply = match meta.get(OUTCOME)?.as_str() {
            HANDLED => Reply::Handled(event.payload.bytes().to_vec()),
            FAILED => Reply::Failed(error_text(meta.get(ERROR).map_or("", String::as_str))),
            NO_HANDLER => Reply::NoHandler,
            _ => return None,
        };
        let received = Self {
            from: event.from?,
            format: event.payload.format(),
            reply,
        };
        Some((id, received))
    }
}

impl Reply {
    fn meta<'a>(&'a self, id: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut meta = vec![(REQUEST_ID, id)];
        match self {
            Self::Handled(_) => meta.push((OUTCOME, HANDLED)),
            Self::Failed(text) => meta.extend([(OUTCOME, FAILED), (ERROR, text)]),
            Self::NoHandler => meta.push((OUTCOME, NO_HANDLER)),
        }
        meta
    }

    fn write(&self, into: Encoder<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Handled(value) if !value.is_empty() => {
                let payload = Payload::new(into.format(), value);
                into.copy(payload)
            }
            _ => Ok(()),
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.requests.end(self.id);
    }
}
