//! Errors of counters.

use std::fmt;

use tidings_codec::{Escaped, NameError};

use crate::error::debug_as_report;
use crate::error::send_failure::Unconfirmed;

debug_as_report! { CounterError }

/// An error of reading or changing a [`Counter`](crate::Counter).
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CounterError {
    /// The name is not valid.
    #[error("`{}` cannot be a counter's name", Escaped(.counter))]
    Name {
        /// The name.
        counter: String,
        /// The broken rule.
        source: NameError,
    },
    /// The sum does not fit into an `i64`. The counter is unchanged.
    #[error("cannot add to the counter `{counter}`: the sum does not fit into 64 bits")]
    Overflow {
        /// The counter's name.
        counter: String,
    },
    /// The counter's key holds something else.
    #[error(
        "the key of the counter `{counter}` holds no integer: redis says `{}`",
        Escaped(.words)
    )]
    Foreign {
        /// The counter's name.
        counter: String,
        /// Redis's error message.
        words: String,
    },
    /// Redis did not confirm the operation.
    #[error("counter `{counter}`: {}", .why.of_command())]
    Unconfirmed {
        /// The counter's name.
        counter: String,
        /// The reason, and whether the operation may have taken effect.
        why: Unconfirmed,
    },
}

impl CounterError {
    /// Returns true if the operation may have taken effect. Repeating it could then count twice.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unconfirmed { why, .. } if why.is_unknown())
    }
}
