//! Errors of sending events and of flushing them.

use std::fmt;

use tidings_codec::{EncodeError, Escaped, NameError};

use crate::error::debug_as_report;
use crate::error::members::MembersError;
use crate::error::send_failure::{RUNTIME_ENDED, SendFailure, Unconfirmed};

debug_as_report! { SendError }

/// Why an event was not sent, or may not have been.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The bus is shut down.
    #[error("the bus is shut down")]
    Closed,
    /// The Tokio runtime that the bus was started on has ended, and the bus with it.
    #[error("{RUNTIME_ENDED}")]
    RuntimeEnded,
    /// The event's name cannot travel.
    #[error("`{}` cannot be an event's name", Escaped(.event))]
    Name {
        /// The name.
        event: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// The name begins with `tidings.`, which is reserved.
    #[error(
        "the event name `{}` is reserved, as is every name that begins with `tidings.`",
        Escaped(.event)
    )]
    Reserved {
        /// The name.
        event: String,
    },
    /// The payload cannot be written.
    #[error("cannot encode `{event}`")]
    Encode {
        /// The event's name.
        event: String,
        /// What serde says, or which limit of the wire it exceeds: 32 levels, 65,536 values.
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
    /// Nobody is there to whom it was sent. Nothing was sent.
    #[error("nobody has {}, so `{event}` was not sent", Escaped(.to))]
    Nobody {
        /// The event's name.
        event: String,
        /// The id or the role that nobody has.
        to: String,
    },
    /// Who has the role is not known. Nothing was sent.
    #[error("`{event}` was not sent")]
    Members {
        /// The event's name.
        event: String,
        /// Why that is not known.
        source: MembersError,
    },
    /// The event was certainly not published.
    #[error("`{event}` was not sent: {why}")]
    NotSent {
        /// The event's name.
        event: String,
        /// The reason.
        why: SendFailure,
    },
    /// The event may have been published: it was given to Redis, and no answer came in time. The bus
    /// repeated it under its sequence number while there was time, and subscribers drop the
    /// duplicate. Sent again by the application, it gets a new number and may be handled twice.
    #[error("`{event}` may or may not have been sent: {why}")]
    Unknown {
        /// The event's name.
        event: String,
        /// The reason.
        why: SendFailure,
    },
}

impl SendError {
    pub(crate) fn new(event: &str, why: Unconfirmed) -> Self {
        let event = event.to_owned();
        match why {
            Unconfirmed::NotSent(why) => Self::NotSent { event, why },
            Unconfirmed::Unknown(why) => Self::Unknown { event, why },
        }
    }

    /// Whether the event may have been published all the same. Sending it again could then make
    /// it be handled twice.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// Which of the fed events Redis did not take.
#[derive(Debug, thiserror::Error)]
#[error("{} fed events did not surely reach redis", self.count())]
pub struct FlushError {
    pub(crate) undelivered: Vec<Undelivered>,
    pub(crate) more: u64,
}

impl FlushError {
    /// How many events.
    pub fn count(&self) -> u64 {
        self.undelivered.len() as u64 + self.more
    }

    /// The events in the order they were fed, the first 10,000 of them.
    pub fn undelivered(&self) -> &[Undelivered] {
        &self.undelivered
    }
}

/// A fed event that Redis did not acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// The event's name.
    pub event: String,
    /// Its number, if it got one: an event is numbered when it leaves.
    pub sequence: Option<u64>,
    /// Whether it may have been published, and why Redis did not acknowledge it.
    pub why: Unconfirmed,
}
