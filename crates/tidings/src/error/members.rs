//! Why nobody can say who is there.

use std::fmt;

use tidings_codec::Escaped;

use crate::error::debug_as_report;
use crate::error::send_failure::SendFailure;

debug_as_report! { MembersError }

/// Why the members are not known.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum MembersError {
    /// Something else lies under the keys of the members.
    #[error(
        "what lies under the keys of the members is something else: redis says `{}`",
        Escaped(.words)
    )]
    Foreign {
        /// Redis's words.
        words: String,
    },
    /// Redis is away, refused, or did not answer.
    #[error("cannot ask who is there: {reason}")]
    Unread {
        /// Why.
        reason: SendFailure,
    },
}
