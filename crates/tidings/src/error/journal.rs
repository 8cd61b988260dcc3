//! The error of an operation on a journal.

use std::fmt;

use crate::error::debug_as_report;
use crate::error::send_failure::{SendFailure, Unconfirmed};

debug_as_report! { JournalError }

/// An error of looking at or changing the journal of a namespace, with
/// [`Bus::journal`](crate::Bus::journal).
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Redis is unreachable, rejected the reading, or did not answer.
    #[error("{doing}: {reason}")]
    Unread {
        /// The operation.
        doing: &'static str,
        /// The reason.
        reason: SendFailure,
    },
    /// Redis did not confirm the change.
    #[error("{doing}: {}", .why.of_command())]
    Unconfirmed {
        /// The operation.
        doing: &'static str,
        /// The reason, and whether it may have taken effect.
        why: Unconfirmed,
    },
}

impl JournalError {
    /// The error of an operation that changes nothing.
    pub(crate) fn of_reading(self) -> Self {
        match self {
            Self::Unconfirmed { doing, why } => Self::Unread {
                doing,
                reason: why.into_reason(),
            },
            read => read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_without_an_answer_says_nothing_of_an_effect() {
        let why = Unconfirmed::Unknown(SendFailure::Lost);
        let doing = "cannot read the journal";
        let error = JournalError::Unconfirmed { doing, why }.of_reading();
        assert_eq!(
            error.to_string(),
            "cannot read the journal: the connection was lost before redis answered"
        );
    }
}
