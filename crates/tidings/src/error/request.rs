//! Errors of requests and of single responses.

use std::fmt;
use std::time::Duration;

use tidings_codec::{DecodeError, Escaped, NodeId};

use crate::error::debug_as_report;
use crate::error::members::MembersError;
use crate::error::send::SendError;

debug_as_report! { RequestError }

/// An error of sending a request.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request was not sent, or may not have been.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The members that have to respond are not known.
    #[error("cannot send a request without the list of members")]
    Members(#[from] MembersError),
    /// The member that the request was for did not respond in time.
    #[error("node {node} did not respond to `{}` within {timeout:?}", Escaped(.event))]
    TimedOut {
        /// The event's name.
        event: String,
        /// The member.
        node: NodeId,
        /// The time that the request waited.
        timeout: Duration,
    },
    /// The member that the request was for left before it responded.
    #[error("node {node} left before it responded to `{}`", Escaped(.event))]
    Left {
        /// The event's name.
        event: String,
        /// The member.
        node: NodeId,
    },
    /// Too many requests of this bus wait for responses.
    #[error("cannot send a request: {limit} are open already")]
    TooMany {
        /// The maximum number of open requests.
        limit: usize,
    },
}

/// The reason for which a member's response has no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// A handler of the member failed, panicked, timed out, could not decode the payload, or was not
    /// called.
    #[error("{}", Escaped(.text))]
    Failed {
        /// The error message, at most 1 KiB of it.
        text: String,
    },
    /// The member has no handler for the event.
    #[error("it has no handler")]
    NoHandler,
    /// The request was handled, and the response is of another type.
    #[error("its response cannot be decoded")]
    Undecodable {
        /// The decoding error.
        #[from]
        source: DecodeError,
    },
}
