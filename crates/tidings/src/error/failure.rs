//! Failures that are reported to the application: nothing else awaits them.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_codec::{DecodeError, Escaped, EventError, FrameError, NodeId};

use crate::error::send_failure::Unconfirmed;
use crate::error::shared::LoadError;

/// What a handler may fail with: any error.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// Something that was heard and could not be handled, or was fed and could not be sent.
///
/// [`BusBuilder::on_failure`](crate::BusBuilder::on_failure) hears of each; without a hook each is logged
/// with `tracing`. None of them stops the bus: the next event is handled as usual. Its text says
/// what happened, and its sources say why: [`report`](crate::report) says both.
///
/// ```
/// use tidings::Failure;
///
/// fn complain(failure: Failure) {
///     match &failure {
///         Failure::Handler { event, .. } => eprintln!("`{event}`: {}", tidings::report(&failure)),
///         other => eprintln!("{}", tidings::report(other)),
///     }
/// }
/// # let _ = complain;
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Something on the channel is no frame that this version can read.
    #[error("a frame of {bytes} bytes cannot be read")]
    Frame {
        /// How long it is.
        bytes: usize,
        /// What is wrong with it.
        source: FrameError,
    },
    /// One event of a frame is malformed; the others of that frame were delivered.
    #[error("an event of {} is malformed", Sender(*.sender))]
    Event {
        /// Who sent it; `None` for a sender that is no bus.
        sender: Option<NodeId>,
        /// What is wrong with it.
        source: EventError,
    },
    /// The payload is not what the handler takes.
    #[error("the payload of `{event}` from {} is not what {handler} takes", Sender(*.sender))]
    Payload {
        /// The event's name.
        event: String,
        /// The handler, as `name (type)`.
        handler: Arc<str>,
        /// Who sent it; `None` for a sender that is no bus.
        sender: Option<NodeId>,
        /// The sender's number for it.
        sequence: Option<u64>,
        /// What did not fit.
        source: DecodeError,
    },
    /// The handler was called and did not succeed.
    #[error("{handler} did not handle `{event}` from {}", Sender(*.sender))]
    Handler {
        /// The event's name.
        event: String,
        /// The handler, as `name (type)`.
        handler: Arc<str>,
        /// Who sent it; `None` for a sender that is no bus.
        sender: Option<NodeId>,
        /// The sender's number for it.
        sequence: Option<u64>,
        /// How it ended.
        #[source]
        cause: HandlerFailure,
    },
    /// Events whose fate nobody waited for, fed ones, did not reach Redis, or may not have. What an
    /// awaited send ends with is not reported here, unless its future was dropped before.
    #[error("{}", NotSent { events: *.events, event, why })]
    Send {
        /// How many events: those of one frame, or of several that were given up together.
        events: u32,
        /// The name of the first of them.
        event: String,
        /// What became of them.
        why: Unconfirmed,
    },
    /// Redis holds something of a shared value, or of an entry of a map, that cannot be read here. A
    /// value's older one is kept, if there is one. The same is reported once; of a map again, where
    /// 256 others of it were reported since.
    #[error("what redis holds of `{}` is of no use here", Escaped(.shared))]
    Shared {
        /// The name; of a map's entry as `map[key]`.
        shared: String,
        /// What is wrong with it.
        source: LoadError,
    },
    /// The bus ended before Redis took invalidations of a map. Other processes may use these entries
    /// until their [time to live](crate::MapOptions::ttl) is over.
    #[error("{} of `{shared}` did not reach redis before the bus ended", Invalidations(*.keys))]
    Invalidation {
        /// The map's name.
        shared: String,
        /// How many entries; `None` for all of them.
        keys: Option<usize>,
    },
    /// A value of [`shared`](crate::Bus::shared) or [`map`](crate::Bus::map), or the closure of an
    /// update, panicked when it was dropped. Nothing else ends by that.
    #[error("a value or an update of `{}` panicked when it was dropped: {}", Escaped(.shared), Escaped(.panic))]
    DropPanicked {
        /// The name of the value or map.
        shared: String,
        /// What the panic said.
        panic: String,
    },
    /// Frames came in the name of this bus that it did not send: another program uses its id, which
    /// anybody can who may publish. This bus numbers its events on from theirs, and subscribers
    /// report a gap where they cannot tell what is missing. The first is reported at once, and more
    /// of them every 10 s.
    #[error("{}", Forged(*.frames))]
    Forged {
        /// How many frames.
        frames: u64,
    },
    /// So many failures came at once that some were only counted.
    #[error("{count} more failures came faster than they could be reported")]
    Suppressed {
        /// How many.
        count: u64,
    },
}

impl Failure {
    /// Whether both are sends of one event with one why.
    pub(crate) fn is_same_send(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Send { event, why, .. },
                Self::Send {
                    event: other_event,
                    why: other_why,
                    ..
                },
            ) => event == other_event && why == other_why,
            _ => false,
        }
    }
}

/// How a handler's call ended, when not well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerFailure {
    /// It returned this error.
    #[error("it failed")]
    Failed(#[source] HandlerError),
    /// It panicked with this text.
    #[error("it panicked: {}", Escaped(.0))]
    Panicked(String),
    /// It was still running after this time and was dropped.
    #[error("it was still running after {0:?}")]
    TimedOut(Duration),
}

struct Invalidations(Option<usize>);

impl fmt::Display for Invalidations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(keys) => write!(f, "invalidations of {keys} entries"),
            None => f.write_str("the invalidation of all entries"),
        }
    }
}

struct Sender(Option<NodeId>);

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(node) => write!(f, "node {node}"),
            None => f.write_str("a sender that is no node"),
        }
    }
}

struct Forged(u64);

impl fmt::Display for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("a frame in the name of this bus came from another sender"),
            frames => write!(
                f,
                "{frames} frames in the name of this bus came from another sender"
            ),
        }
    }
}

struct NotSent<'a> {
    events: u32,
    event: &'a str,
    why: &'a Unconfirmed,
}

impl fmt::Display for NotSent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, event, why } = self;
        match events {
            1 => write!(f, "`{event}` {why}"),
            _ => write!(f, "{events} events, the first of them `{event}`: {why}"),
        }
    }
}
