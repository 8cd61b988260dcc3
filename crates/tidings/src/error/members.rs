//! Errors of listing members.

use std::fmt;

use tidings_codec::Escaped;

use crate::error::debug_as_report;
use crate::error::send_failure::SendFailure;

debug_as_report! { MembersError }

/// An error of listing the members.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum MembersError {
    /// The keys of the member list hold something else.
    #[error(
        "the keys of the member list hold something else: redis says `{}`",
        Escaped(.words)
    )]
    Foreign {
        /// Redis's error message.
        words: String,
    },
    /// Redis is unreachable, rejected the query, or did not answer.
    #[error("cannot list the members: {reason}")]
    Unread {
        /// The reason.
        reason: SendFailure,
    },
}
