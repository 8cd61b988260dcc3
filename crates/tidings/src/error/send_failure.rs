//! What became of an event, or of a command, that Redis did not acknowledge, and the reason.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_codec::Escaped;

use crate::task::stage::Stage;

/// What became of an event that Redis did not acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unconfirmed {
    /// It certainly was not published.
    NotSent(SendFailure),
    /// It may have been published: it was given to Redis, and no answer came in time. Where there
    /// was time, tidings repeated it under its old number, which hearers drop if they have it. Sent
    /// again by the application it gets a new number, and may be handled twice.
    Unknown(SendFailure),
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

/// Why an event was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendFailure {
    /// Redis did not take it in the time that a send may wait.
    TimedOut(Duration),
    /// The outgoing queue stayed full for the time that a send may wait.
    QueueFull {
        /// The queue's bound in bytes.
        limit: usize,
    },
    /// The future of the send was dropped before the event had a place in the outgoing queue.
    Dropped,
    /// Redis is unreachable, and this call does not wait for it.
    Unreachable,
    /// The connection was lost before Redis answered.
    Lost,
    /// Redis refused it, with these words.
    Refused(Arc<str>),
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
}

impl fmt::Display for SendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(after) => write!(f, "redis did not take it within {after:?}"),
            Self::QueueFull { limit } => write!(f, "the send buffer of {limit} bytes is full"),
            Self::Dropped => f.write_str("its future was dropped before it was in the queue"),
            Self::Unreachable => {
                f.write_str("redis is unreachable, and this call does not wait for it")
            }
            Self::Lost => f.write_str("the connection was lost before redis answered"),
            Self::Refused(words) => write!(f, "redis refused it: {}", Escaped(words)),
            Self::Closed => f.write_str("the bus was shut down first"),
            Self::RuntimeEnded => f.write_str(RUNTIME_ENDED),
        }
    }
}

/// What became of something asked of Redis, other than a send.
pub(crate) struct Done<'a>(pub(crate) &'a Unconfirmed);

impl fmt::Display for Done<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unconfirmed::NotSent(reason) => write!(f, "nothing was done: {reason}"),
            Unconfirmed::Unknown(reason) => write!(f, "it may or may not have been done: {reason}"),
        }
    }
}
