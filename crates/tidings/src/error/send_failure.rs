//! The result and the reason of an event or command that Redis did not acknowledge.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_codec::Escaped;

use crate::task::stage::Stage;

/// The result of an event that Redis did not acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unconfirmed {
    /// The event was certainly not published.
    NotSent(SendFailure),
    /// The event may have been published: it was given to Redis, and no answer came in time. The bus
    /// repeated it under its sequence number while there was time, and subscribers drop the
    /// duplicate. Sent again by the application, it gets a new number and may be handled twice.
    Unknown(SendFailure),
}

impl Unconfirmed {
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    pub(crate) fn into_reason(self) -> SendFailure {
        let (Self::NotSent(reason) | Self::Unknown(reason)) = self;
        reason
    }

    /// Returns the text for a command that is no send.
    pub(crate) fn of_command(&self) -> String {
        match self {
            Self::NotSent(reason) => format!("nothing was changed: {reason}"),
            Self::Unknown(reason) => format!("it may or may not have taken effect: {reason}"),
        }
    }
}

impl fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(reason) => write!(f, "was not sent: {reason}"),
            Self::Unknown(reason) => write!(f, "may or may not have been sent: {reason}"),
        }
    }
}

pub(crate) const RUNTIME_ENDED: &str =
    "the tokio runtime that the bus was started on has ended, and the bus with it";

/// The reason for which an event or command was not acknowledged by Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendFailure {
    /// Redis did not accept it within [`send_timeout`](crate::BusBuilder::send_timeout).
    TimedOut(Duration),
    /// The send buffer was full: for [`send_timeout`](crate::BusBuilder::send_timeout), or when
    /// [`try_feed`](crate::Bus::try_feed) was called.
    QueueFull {
        /// The bound of the send buffer in bytes.
        limit: usize,
    },
    /// The future of the send was dropped before the event was in the send buffer.
    Dropped,
    /// Redis is unreachable, and this call does not wait for it.
    Unreachable,
    /// The connection was lost before Redis answered.
    Lost,
    /// Redis rejected it with this error message.
    Refused(Arc<str>),
    /// Redis rejected it, because the user lacks a permission. The text is the error message, and the
    /// command that grants it.
    Denied(Arc<str>),
    /// The event is in the journal, and fewer replicas confirmed it than
    /// [`Journal::confirm`](crate::Journal::confirm) wants: a failover may take it away.
    NotReplicated {
        /// The position of the event in the journal, which can be parsed as a
        /// [`JournalPosition`](crate::JournalPosition).
        position: Box<str>,
        /// The number of replicas that confirmed it in time.
        replicas: u32,
        /// The number that is wanted.
        wanted: u32,
    },
    /// No server of a Redis Cluster has the keys of the namespace at the moment, for this reason: as
    /// during a failover.
    NoServer(Arc<str>),
    /// The bus was shut down or dropped first.
    Closed,
    /// The Tokio runtime that the bus was started on has ended, and the bus with it.
    RuntimeEnded,
}

impl SendFailure {
    /// The reason for which a task of the bus ends at this stage. While the bus is open, that is
    /// the end of its runtime, or a panic.
    pub(crate) fn of_end(stage: Stage) -> Self {
        match stage {
            Stage::Open if !std::thread::panicking() => Self::RuntimeEnded,
            _ => Self::Closed,
        }
    }

    /// Returns true if the user of Redis lacks a permission; the message then has the command that
    /// grants it.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_))
    }

    /// Returns true if it is the end of the bus.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self, Self::Closed | Self::RuntimeEnded)
    }
}

impl fmt::Display for SendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(after) => write!(f, "redis did not accept it within {after:?}"),
            Self::QueueFull { limit } => write!(f, "the send buffer of {limit} bytes is full"),
            Self::Dropped => f.write_str("its future was dropped before it was in the send buffer"),
            Self::Unreachable => {
                f.write_str("redis is unreachable, and this call does not wait for it")
            }
            Self::Lost => f.write_str("the connection was lost before redis answered"),
            Self::Refused(words) | Self::Denied(words) => {
                write!(f, "redis rejected it: {}", Escaped(words))
            }
            Self::NotReplicated {
                position,
                replicas,
                wanted,
            } => write!(
                f,
                "it is in the journal at {position}, and {replicas} of {wanted} replicas confirmed it \
                 in time"
            ),
            Self::NoServer(why) => write!(
                f,
                "no server has the keys of the namespace: {}",
                Escaped(why)
            ),
            Self::Closed => f.write_str("the bus was shut down first"),
            Self::RuntimeEnded => f.write_str(RUNTIME_ENDED),
        }
    }
}
