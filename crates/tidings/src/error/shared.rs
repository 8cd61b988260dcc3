//! Why a shared value could not be used, read or changed.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tidings_codec::{DecodeError, EncodeError, Escaped, NameError};

use crate::error::debug_as_report;
use crate::error::send_failure::{Done, SendFailure, Unconfirmed};

debug_as_report! { SharedError LoadError StoreError }

/// Why a shared value or map cannot be used under this name.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SharedError {
    /// The bus is shut down.
    #[error("the bus is shut down")]
    Closed,
    /// The name cannot be part of a key.
    #[error("`{}` cannot be a shared value's name", Escaped(.shared))]
    Name {
        /// The name.
        shared: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// This bus uses the name for another type already.
    #[error("`{shared}` is used for `{first}` already, and is asked for as `{second}`")]
    Conflict {
        /// The name.
        shared: String,
        /// The type that had it first.
        first: &'static str,
        /// The type that wants it too.
        second: &'static str,
    },
}

/// Why a shared value could not be read. Cheap to clone: all who waited for one read get it.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Something else lies under the key.
    #[error(
        "what lies under the key of `{}` is no shared value: {}",
        Escaped(.shared),
        Escaped(.words)
    )]
    Foreign {
        /// The name.
        shared: String,
        /// What is wrong with it.
        words: String,
    },
    /// It is written in a format that this version does not know.
    #[error(
        "`{}` is written in the format `{}`, which this version does not know",
        Escaped(.shared),
        Escaped(.format)
    )]
    Format {
        /// The name.
        shared: String,
        /// What it calls its format.
        format: String,
    },
    /// It is not what this type expects.
    #[error("cannot decode `{}`", Escaped(.shared))]
    Decode {
        /// The name.
        shared: String,
        /// What did not fit.
        source: Arc<DecodeError>,
    },
    /// This cannot be a key of the map, or what lies in Redis under it cannot.
    #[error("`{}` cannot be a key of `{shared}`: {}", Escaped(.key), Escaped(.words))]
    Key {
        /// The map's name.
        shared: String,
        /// The key as text, or its beginning.
        key: String,
        /// What is wrong with it.
        words: String,
    },
    /// Redis is away, refused, or did not answer.
    #[error("cannot read `{}`: {reason}", Escaped(.shared))]
    Unread {
        /// The name.
        shared: String,
        /// Why.
        reason: SendFailure,
    },
}

/// Why a shared value was not changed, or may not have been.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The new value cannot be written.
    #[error("cannot encode `{}`", Escaped(.shared))]
    Encode {
        /// The name.
        shared: String,
        /// What serde says.
        source: Arc<EncodeError>,
    },
    /// The old value cannot be read, so there is no new one to be made of it.
    #[error("`{}` was not changed", Escaped(.shared))]
    Load {
        /// The name.
        shared: String,
        /// Why it cannot be read.
        source: LoadError,
    },
    /// Others changed it at each of so many attempts. It was not changed.
    #[error("others changed `{}` at each of {attempts} attempts", Escaped(.shared))]
    Contended {
        /// The name.
        shared: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// Redis did not answer, or refused.
    #[error("`{}`: {}", Escaped(.shared), Done(.why))]
    Unconfirmed {
        /// The name.
        shared: String,
        /// Whether it may have been done, and why Redis did not acknowledge it.
        why: Unconfirmed,
    },
}

impl StoreError {
    /// Whether it may have been changed all the same.
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

/// Why [`SharedMap::get_or_load`](crate::SharedMap::get_or_load) has no value. Cheap to clone: all
/// who waited for one run of the loader get it.
#[non_exhaustive]
pub enum GetOrLoadError<E> {
    /// What lies in Redis cannot be read here, and is not overwritten: it may be from a newer
    /// version of this program.
    Load(LoadError),
    /// The loader was called and failed.
    Loader {
        /// The entry, as `map[key]`.
        shared: String,
        /// The loader's error.
        source: Arc<E>,
    },
}

impl<E> Clone for GetOrLoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Load(error) => Self::Load(error.clone()),
            Self::Loader { shared, source } => Self::Loader {
                shared: shared.clone(),
                source: Arc::clone(source),
            },
        }
    }
}

impl<E> fmt::Display for GetOrLoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Loader { shared, .. } => write!(f, "the loader of `{shared}` failed"),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for GetOrLoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Loader { source, .. } => write!(f, "{self}: {source:?}"),
        }
    }
}

impl<E: Error + 'static> Error for GetOrLoadError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Load(error) => error.source(),
            Self::Loader { source, .. } => Some(&**source),
        }
    }
}
