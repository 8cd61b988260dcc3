//! Answers of the keyspace, and their errors.

use futures_util::future::BoxFuture;

use crate::error::send_failure::SendFailure;

pub(crate) type Answer<T> = BoxFuture<'static, Result<T, KeyError>>;

/// The reason why an operation on a key was not done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// The key has a value of another type. Nothing was changed.
    Foreign(String),
    /// The number would overflow. Nothing was changed.
    Overflow,
    /// Redis refused, with this message. Nothing was changed.
    Refused(String),
    /// No server has the keys at the moment, for this reason. Nothing was changed.
    NoServer(String),
    /// The connection ended before the answer: it is unknown whether it was done.
    Lost,
}

impl KeyError {
    /// Returns the reason for callers that can only wait and retry.
    pub(crate) fn into_reason(self) -> SendFailure {
        match self {
            Self::Foreign(words) | Self::Refused(words) => SendFailure::Refused(words.into()),
            Self::Overflow => SendFailure::Refused("the number would overflow".into()),
            Self::NoServer(why) => SendFailure::NoServer(why.into()),
            Self::Lost => SendFailure::Lost,
        }
    }
}
