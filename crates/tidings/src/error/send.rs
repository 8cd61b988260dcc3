//! Errors of sending events and of flushing them.

use std::fmt;

use tidings_codec::{EncodeError, Escaped, NameError};

use crate::error::debug_as_report;
use crate::error::header::HeaderError;
use crate::error::members::MembersError;
use crate::error::send_failure::{RUNTIME_ENDED, SendFailure, Unconfirmed};

debug_as_report! { SendError }

/// The error of a send: the event was not sent, or may not have been.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The bus is shut down.
    #[error("the bus is shut down")]
    Closed,
    /// The Tokio runtime that the bus was started on has ended, and the bus with it.
    #[error("{RUNTIME_ENDED}")]
    RuntimeEnded,
    /// The event's name is not valid.
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
    /// A header breaks a rule. Nothing was sent.
    #[error("cannot send `{}` with the header `{}`", Escaped(.event), Escaped(.header))]
    Header {
        /// The event's name.
        event: String,
        /// The header's name.
        header: String,
        /// The rule that it breaks.
        source: HeaderError,
    },
    /// The payload cannot be encoded.
    #[error("cannot encode `{event}`")]
    Encode {
        /// The event's name.
        event: String,
        /// The error of serde, or the limit that it exceeds: 32 levels, 65,536 values.
        source: EncodeError,
    },
    /// The payload is larger than a frame may be.
    #[error("`{event}` takes {bytes} bytes, and a frame holds {limit}")]
    TooLarge {
        /// The event's name.
        event: String,
        /// The size of the encoded event.
        bytes: usize,
        /// The largest size of a frame.
        limit: usize,
    },
    /// No member has this id or role. Nothing was sent.
    #[error("nobody has {}, so `{event}` was not sent", Escaped(.to))]
    Nobody {
        /// The event's name.
        event: String,
        /// The id or the role.
        to: String,
    },
    /// The members with the role are not known. Nothing was sent.
    #[error("`{event}` was not sent")]
    Members {
        /// The event's name.
        event: String,
        /// The reason.
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

    /// Returns `true` if the event may have been published. If it is sent again then, it may be
    /// handled twice.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// The error of a flush: the fed events that Redis did not acknowledge.
#[derive(Debug, thiserror::Error)]
#[error("{} fed events did not surely reach redis", self.count())]
pub struct FlushError {
    pub(crate) undelivered: Vec<Undelivered>,
    pub(crate) more: u64,
}

impl FlushError {
    /// The number of events.
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
    /// Its number, if it got one: an event is numbered when it leaves. That of an event that was
    /// certainly not published may be given to another one.
    pub sequence: Option<u64>,
    /// Whether it may have been published, and why Redis did not acknowledge it.
    pub why: Unconfirmed,
}
