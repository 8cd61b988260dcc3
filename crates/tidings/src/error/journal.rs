//! The error of an operation on a journal.

use std::fmt;

use crate::error::debug_as_report;
use crate::error::send_failure::Unconfirmed;

debug_as_report! { JournalError }

/// An error of looking at or changing the journal of a namespace, with
/// [`Bus::journal`](crate::Bus::journal).
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Redis did not confirm the operation.
    #[error("{doing}: {}", .why.of_command())]
    Unconfirmed {
        /// The operation.
        doing: &'static str,
        /// The reason, and whether it may have taken effect.
        why: Unconfirmed,
    },
}
