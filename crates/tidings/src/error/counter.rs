//! Why a counter did not do what was asked.

use std::fmt;

use tidings_codec::{Escaped, NameError};

use crate::error::debug_as_report;
use crate::error::send_failure::{Done, Unconfirmed};

debug_as_report! { CounterError }

/// Why a counter was not read or changed, or may not have been changed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CounterError {
    /// The name cannot be part of a key.
    #[error("`{}` cannot be a counter's name", Escaped(.counter))]
    Name {
        /// The name.
        counter: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// The sum would not fit into an `i64`. The counter is as it was.
    #[error("the counter `{counter}` would exceed what 64 bits hold")]
    Overflow {
        /// The counter's name.
        counter: String,
    },
    /// Something else lies under the counter's key.
    #[error(
        "what lies under the key of the counter `{counter}` is no counter: redis says `{}`",
        Escaped(.words)
    )]
    Foreign {
        /// The counter's name.
        counter: String,
        /// Redis's words.
        words: String,
    },
    /// Redis did not answer, or refused.
    #[error("counter `{counter}`: {}", Done(.why))]
    Unconfirmed {
        /// The counter's name.
        counter: String,
        /// Whether it may have been done, and why Redis did not acknowledge it.
        why: Unconfirmed,
    },
}

impl CounterError {
    /// Whether it may have been counted all the same. Counting again could then count twice.
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::Unconfirmed {
                why: Unconfirmed::Unknown(_),
                ..
            }
        )
    }
}
