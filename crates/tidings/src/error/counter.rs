//! Errors of counters.

use std::fmt;

use tidings_codec::{Escaped, NameError};

use crate::error::debug_as_report;
use crate::error::send_failure::{SendFailure, Unconfirmed};

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
    #[error("the key of the counter `{counter}` holds no integer: {}", Escaped(.words))]
    Foreign {
        /// The counter's name.
        counter: String,
        /// The value, or Redis's error message.
        words: String,
    },
    /// Redis is unreachable, rejected the reading, or did not answer.
    #[error("cannot read the counter `{counter}`: {reason}")]
    Unread {
        /// The counter's name.
        counter: String,
        /// The reason.
        reason: SendFailure,
    },
    /// Redis did not confirm the change.
    #[error("counter `{counter}`: {}", .why.of_command())]
    Unconfirmed {
        /// The counter's name.
        counter: String,
        /// The reason, and whether the operation may have taken effect.
        why: Unconfirmed,
    },
}

impl CounterError {
    /// The error of an operation that changes nothing.
    pub(crate) fn of_reading(self) -> Self {
        match self {
            Self::Unconfirmed { counter, why } => Self::Unread {
                counter,
                reason: why.into_reason(),
            },
            read => read,
        }
    }

    /// Returns true if the operation may have taken effect. Repeating it could then count twice.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unconfirmed { why, .. } if why.is_unknown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_without_an_answer_says_nothing_of_an_effect() {
        let error = CounterError::Unconfirmed {
            counter: "visits".to_owned(),
            why: Unconfirmed::Unknown(SendFailure::Lost),
        };
        let error = error.of_reading();
        assert!(!error.is_unknown());
        assert_eq!(
            error.to_string(),
            "cannot read the counter `visits`: the connection was lost before redis answered"
        );
    }
}
