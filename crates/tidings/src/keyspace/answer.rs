//! Answers of the keyspace, and their errors, which say whether an operation may have been done.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::error::members::MembersError;
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::error::shared::{LoadError, StoreError};

pub(crate) type Answer<T> = BoxFuture<'static, Result<T, NotDone>>;

/// The reason why an operation on a key was not done, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// The key has a value of another type; this is Redis's message.
    Foreign(Arc<str>),
    /// The number would overflow.
    Overflow,
    Unconfirmed(Unconfirmed),
}

impl NotDone {
    pub(crate) fn not_sent(reason: SendFailure) -> Self {
        Self::Unconfirmed(Unconfirmed::NotSent(reason))
    }

    pub(crate) fn unknown(reason: SendFailure) -> Self {
        Self::Unconfirmed(Unconfirmed::Unknown(reason))
    }

    /// Returns the reason for callers that can only wait and retry.
    pub(crate) fn into_reason(self) -> SendFailure {
        match self {
            Self::Foreign(words) => SendFailure::Refused(words),
            Self::Overflow => SendFailure::Refused("the number would overflow".into()),
            Self::Unconfirmed(why) => why.into_reason(),
        }
    }

    /// Returns whether the user lacks a permission.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Unconfirmed(Unconfirmed::NotSent(reason)) if reason.is_denied())
    }

    /// Returns whether Redis refused for a reason that may end at any moment, as while it loads its
    /// dataset or during a failover.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unconfirmed(Unconfirmed::NotSent(
                SendFailure::Refused(_) | SendFailure::NoServer(_)
            ))
        )
    }

    /// Returns the error of reading the shared value or map of this name.
    pub(crate) fn into_load_error(self, shared: &str) -> LoadError {
        let shared = shared.to_owned();
        let words = match self {
            Self::Foreign(words) => words.to_string(),
            Self::Overflow => "its version would overflow".to_owned(),
            Self::Unconfirmed(why) => {
                let reason = why.into_reason();
                return LoadError::Unread { shared, reason };
            }
        };
        LoadError::Foreign { shared, words }
    }

    /// Returns the error of changing the shared value or map of this name.
    pub(crate) fn into_store_error(self, shared: &str) -> StoreError {
        match self {
            Self::Unconfirmed(why) => {
                let shared = shared.to_owned();
                StoreError::Unconfirmed { shared, why }
            }
            other => StoreError::not_read(shared, other.into_load_error(shared)),
        }
    }
}

impl From<NotDone> for MembersError {
    fn from(error: NotDone) -> Self {
        let words = match error {
            NotDone::Foreign(words) => words.to_string(),
            NotDone::Overflow => "a number would overflow".to_owned(),
            NotDone::Unconfirmed(why) => {
                let reason = why.into_reason();
                return Self::Unread { reason };
            }
        };
        Self::Foreign { words }
    }
}
