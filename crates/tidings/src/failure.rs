//! What can go wrong, said honestly: failures of events, gaps, and one error per verb.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_codec::{DecodeError, EncodeError, EventError, FrameError, NameError, NodeId};

use crate::handler::HandlerError;

/// Something that was heard and could not be handled, or was fed and could not be sent.
///
/// [`Builder::on_failure`](crate::Builder::on_failure) hears of each; without a hook each is logged
/// with `tracing`. None of them stops the bus: the next event is handled as usual.
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
    #[error("an event of {} is malformed", Sender(*.from))]
    Event {
        /// Who sent it; `None` for a sender that is no bus.
        from: Option<NodeId>,
        /// What is wrong with it.
        source: EventError,
    },
    /// The payload is not what the handler takes.
    #[error("the payload of `{event}` from {} is not what {handler} takes", Sender(*.from))]
    Payload {
        /// The event's name.
        event: String,
        /// The handler, as `name (type)`.
        handler: Arc<str>,
        /// Who sent it; `None` for a sender that is no bus.
        from: Option<NodeId>,
        /// The sender's number for it.
        number: Option<u64>,
        /// What did not fit.
        source: DecodeError,
    },
    /// The handler was called and did not succeed.
    #[error("{handler} {cause} on `{event}` from {}", Sender(*.from))]
    Handler {
        /// The event's name.
        event: String,
        /// The handler, as `name (type)`.
        handler: Arc<str>,
        /// Who sent it; `None` for a sender that is no bus.
        from: Option<NodeId>,
        /// The sender's number for it.
        number: Option<u64>,
        /// How it ended.
        cause: Cause,
    },
    /// Fed events did not reach Redis, or may not have.
    #[error("{}", NotSent { events: *.events, event, fate })]
    Send {
        /// How many events, of one frame.
        events: u32,
        /// The name of the first of them.
        event: String,
        /// What became of them.
        fate: Fate,
    },
    /// So many failures came at once that some were only counted.
    #[error("{count} more failures came faster than they could be reported")]
    Suppressed {
        /// How many.
        count: u64,
    },
}

/// How a handler's call ended, when not well.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// It returned this error.
    Failed(HandlerError),
    /// It panicked with this text.
    Panicked(String),
    /// It was still running after this time and was dropped.
    TimedOut(Duration),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "failed ({error})"),
            Self::Panicked(text) => write!(f, "panicked ({text})"),
            Self::TimedOut(after) => write!(f, "was still running after {after:?}"),
        }
    }
}

struct Sender(Option<NodeId>);

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(node) => write!(f, "node {node}"),
            None => f.write_str("a stranger"),
        }
    }
}

struct NotSent<'a> {
    events: u32,
    event: &'a str,
    fate: &'a Fate,
}

impl fmt::Display for NotSent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            events,
            event,
            fate,
        } = self;
        match events {
            1 => write!(f, "`{event}` {fate}"),
            _ => write!(f, "{events} events, the first of them `{event}`: {fate}"),
        }
    }
}

/// What became of an event that Redis did not acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It certainly was not published.
    NotSent(Reason),
    /// It may have been published: it was given to Redis, and no answer came. It was tried again
    /// under the same number, so nobody hears it twice.
    Unknown(Reason),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(reason) => write!(f, "was not sent: {reason}"),
            Self::Unknown(reason) => write!(f, "may or may not have been sent: {reason}"),
        }
    }
}

/// Why an event was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Redis did not take it in the time that a send may wait.
    TimedOut(Duration),
    /// The outgoing queue stayed full for the time that a send may wait.
    QueueFull {
        /// The queue's bound in bytes.
        limit: usize,
    },
    /// Redis is away, and this bus is volatile: it does not wait.
    Away,
    /// Redis refused it, with these words.
    Refused(Arc<str>),
    /// The bus was shut down or dropped first.
    Closed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(after) => write!(f, "redis did not take it within {after:?}"),
            Self::QueueFull { limit } => write!(f, "the outgoing queue of {limit} bytes is full"),
            Self::Away => f.write_str("redis is away, and a volatile bus does not wait"),
            Self::Refused(words) => write!(f, "redis refused it: {words}"),
            Self::Closed => f.write_str("the bus was shut down first"),
        }
    }
}

/// Something may have been missed: read the truth again.
///
/// [`Bus::on_gap`](crate::Bus::on_gap) hears of each; without a handler each is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// Whose events were missed; `None` when it may be anybody's.
    pub from: Option<NodeId>,
    /// How many; `None` when that cannot be known yet. After a reconnect exact counts follow as
    /// the senders are heard again.
    pub missed: Option<u64>,
    /// How it came about.
    pub reason: GapReason,
}

/// How events came to be missed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// The connection was lost and is back; in between nothing was heard.
    Reconnected,
    /// A sender's numbers jumped: what lies between was published and not heard here, or could
    /// never be published.
    Skipped,
    /// The queue of this handler was full, so it did not get them. Others did.
    Overflow {
        /// The handler, as `name (type)`.
        handler: Arc<str>,
    },
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.missed {
            Some(1) => f.write_str("1 event")?,
            Some(missed) => write!(f, "{missed} events")?,
            None => f.write_str("an unknown number of events")?,
        }
        if let Some(from) = self.from {
            write!(f, " of node {from}")?;
        }
        match &self.reason {
            GapReason::Reconnected => f.write_str(" may have been missed while disconnected"),
            GapReason::Skipped => f.write_str(" did not arrive"),
            GapReason::Overflow { handler } => write!(f, " did not fit the queue of {handler}"),
        }
    }
}

/// A handler asks for a state that the builder was not given.
#[derive(Debug, thiserror::Error)]
#[error("nobody gave a state of type `{state}`: call `.state(…)` on the builder")]
pub struct MissingState {
    pub(crate) state: &'static str,
}

/// Why a handler could not be registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnError {
    /// The bus is shut down.
    #[error("the bus is shut down")]
    Closed,
    /// The event's name cannot travel.
    #[error("`{event}` cannot be an event's name")]
    Name {
        /// The name.
        event: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// The handler asks for a state that the builder was not given.
    #[error("the handler of `{event}` asks for something that is not there")]
    State {
        /// The event, or the type of the events.
        event: String,
        /// What is missing.
        source: MissingState,
    },
    /// Two event types claim one name with different payloads.
    #[error("`{event}` is claimed by two payload types, `{first}` and `{second}`")]
    Conflict {
        /// The name.
        event: String,
        /// The type that had it first.
        first: &'static str,
        /// The type that wants it too.
        second: &'static str,
    },
    /// A bound in [`Handling`](crate::Handling) is zero.
    #[error("the {what} of a handler cannot be zero")]
    Zero {
        /// Which one.
        what: &'static str,
    },
}

/// Why an event was not sent, or may not have been.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The bus is shut down.
    #[error("the bus is shut down")]
    Closed,
    /// The event's name cannot travel.
    #[error("`{event}` cannot be an event's name")]
    Name {
        /// The name.
        event: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// The payload cannot be written.
    #[error("cannot encode `{event}`")]
    Encode {
        /// The event's name.
        event: String,
        /// What serde says.
        source: EncodeError,
    },
    /// The payload is larger than a frame may be.
    #[error("`{event}` takes {bytes} bytes, and a frame holds {limit}")]
    TooLarge {
        /// The event's name.
        event: String,
        /// How large the event is, encoded.
        bytes: usize,
        /// How large a frame may be.
        limit: usize,
    },
    /// Redis did not acknowledge it.
    #[error("`{event}` {fate}")]
    Fate {
        /// The event's name.
        event: String,
        /// What became of it.
        fate: Fate,
    },
}

impl SendError {
    /// Whether the event may have been published all the same. Sending it again could then make
    /// it be handled twice.
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::Fate {
                fate: Fate::Unknown(_),
                ..
            }
        )
    }
}

/// Which of the fed events Redis did not take.
#[derive(Debug, thiserror::Error)]
#[error("{} fed events did not surely reach redis", self.count())]
pub struct FlushError {
    pub(crate) unsent: Vec<Unsent>,
    pub(crate) more: u64,
}

impl FlushError {
    /// How many events.
    pub fn count(&self) -> u64 {
        self.unsent.len() as u64 + self.more
    }

    /// The events in the order they were fed, the first 10,000 of them.
    pub fn unsent(&self) -> &[Unsent] {
        &self.unsent
    }
}

/// A fed event that Redis did not acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent {
    /// The event's name.
    pub event: String,
    /// Its number, if it got one: an event is numbered when it leaves.
    pub number: Option<u64>,
    /// What became of it.
    pub fate: Fate,
}

/// Why a bus did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is not one.
    #[error("`{url}` is no address of a bus")]
    Url {
        /// The address, without its password.
        url: String,
        /// What is wrong with it.
        source: UrlError,
    },
    /// The namespace cannot be part of a channel's name.
    #[error("`{namespace}` cannot be a namespace")]
    Namespace {
        /// The namespace.
        namespace: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// A handler could not be registered.
    #[error("cannot register a handler given to the builder or marked `#[tidings::on]`")]
    Handler {
        /// What is wrong with it.
        #[from]
        source: OnError,
    },
    /// The bus could not be reached in time.
    #[error("cannot reach {address} within {deadline:?}")]
    Unreachable {
        /// The address, without its password.
        address: String,
        /// How long it was tried.
        deadline: Duration,
        /// What happened at the last attempt.
        source: ConnectError,
    },
    /// It answers, and would never let this bus work: a wrong password, a forbidden channel.
    #[error("cannot use {address}")]
    Refused {
        /// The address, without its password.
        address: String,
        /// What it said, and the cure where there is one.
        source: ConnectError,
    },
}

/// What is wrong with an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It has no scheme that a bus knows.
    #[error("`{scheme}:` is not one of redis:, unix:, redis+unix:, memory:")]
    Scheme {
        /// The part before the first colon.
        scheme: String,
    },
    /// The kind of address is known, and this version cannot use it yet.
    #[error("{what} is not supported by this version")]
    Unsupported {
        /// What it would need.
        what: &'static str,
    },
    /// It cannot be taken apart.
    #[error("{reason}")]
    Malformed {
        /// Why.
        reason: String,
    },
}

/// Why a connection could not be made, or was given up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing answers there, or not in time.
    #[error("{doing}")]
    Io {
        /// What the connection was doing.
        doing: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// Redis answered with an error.
    #[error("{doing}: redis says `{words}`{}", Cure(.cure.as_deref()))]
    Redis {
        /// What the connection was doing.
        doing: &'static str,
        /// Redis's words.
        words: String,
        /// What would cure it, where that is known.
        cure: Option<String>,
        /// Whether trying again cannot help.
        is_final: bool,
    },
    /// The server is a replica: what is published there does not reach everybody.
    #[error("the server is a {role}, not a master")]
    Role {
        /// What `ROLE` says.
        role: String,
    },
    /// It was connected, and the connection ended.
    #[error("the connection was lost")]
    Lost,
    /// Nothing was heard, although something should have been.
    #[error("nothing was heard for {silence:?}, although a probe was published")]
    Deaf {
        /// For how long.
        silence: Duration,
    },
}

impl ConnectError {
    pub(crate) fn timed_out(doing: &'static str) -> Self {
        Self::Io {
            doing,
            source: std::io::ErrorKind::TimedOut.into(),
        }
    }

    /// Whether trying again cannot help, such as with a wrong password.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Redis { is_final: true, .. })
    }
}

struct Cure<'a>(Option<&'a str>);

impl fmt::Display for Cure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |cure| write!(f, " ({cure})"))
    }
}

/// What a shutdown had to leave behind when its time was up.
#[derive(Debug, thiserror::Error)]
#[error(
    "the time to shut down was up: {unhandled} events unhandled, {running} handlers still running, {unsent} events not acknowledged by redis"
)]
#[non_exhaustive]
pub struct ShutdownError {
    /// Events that waited in the queues of handlers.
    pub unhandled: u64,
    /// Handlers that were still running; they were dropped.
    pub running: u64,
    /// Events that were accepted for sending and not acknowledged by Redis.
    pub unsent: u64,
}
