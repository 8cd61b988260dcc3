//! Answers to what is asked of keys.

use futures_util::future::BoxFuture;

use crate::error::send_failure::SendFailure;

pub(crate) type Answer<T> = BoxFuture<'static, Result<T, KeyError>>;

/// Why Redis did not do what was asked of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// What lies under the key is of another kind. Nothing was changed.
    Foreign(String),
    /// The number would not fit. Nothing was changed.
    Overflow,
    /// It refused, in these words. Nothing was changed.
    Refused(String),
    /// Nobody knows whether it was done: the connection ended before the answer.
    Lost,
}

impl KeyError {
    /// The same, for who can only wait and ask again.
    pub(crate) fn into_reason(self) -> SendFailure {
        match self {
            Self::Foreign(words) | Self::Refused(words) => SendFailure::Refused(words.into()),
            Self::Overflow => SendFailure::Refused("the number would not fit".into()),
            Self::Lost => SendFailure::Lost,
        }
    }
}
