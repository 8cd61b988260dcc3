//! Why an ask could not be made, and why an answer is none.

use std::fmt;

use tidings_codec::{DecodeError, Escaped};

use crate::error::debug_as_report;
use crate::error::members::MembersError;
use crate::error::send::SendError;

debug_as_report! { RequestError }

/// Why nobody was asked, or nobody knows whether they were.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The event was not sent, or may not have been.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Nobody knows who would have to answer.
    #[error("cannot ask without knowing who is there")]
    Members(#[from] MembersError),
    /// This bus waits for the answers to so many asks that it takes no more.
    #[error("{limit} asks are open already")]
    TooMany {
        /// How many may be open at once.
        limit: usize,
    },
}

/// Why there is no answer of one member.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// A handler there failed, panicked, took too long, could not read the payload, or never got
    /// the event.
    #[error("{}", Escaped(.text))]
    Failed {
        /// Its words, the first 1 KiB of them.
        text: String,
    },
    /// Nothing hears the event there.
    #[error("it has no handler")]
    NoHandler,
    /// It was handled, and the answer is not what was asked for.
    #[error("its answer cannot be read")]
    Undecodable {
        /// What did not fit.
        #[from]
        source: DecodeError,
    },
}
