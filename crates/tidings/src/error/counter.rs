//! Why a counter did not do what was asked.

use std::fmt;

use tidings_codec::{Escaped, NameError};

use crate::error::debug_as_report;
use crate::error::send_failure::{Done, Fate};

debug_as_report! { CountError }

/// Why a counter was not read or changed, or may not have been changed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CountError {
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
    #[error("counter `{counter}`: {}", Done(.fate))]
    Fate {
        /// The counter's name.
        counter: String,
        /// What became of it.
        fate: Fate,
    },
}

impl CountError {
    /// Whether it may have been counted all the same. Counting again could then count twice.
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::Fate {
                fate: Fate::Unknown(_),
                ..
            }
        )
    }
}
