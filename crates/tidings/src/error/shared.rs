//! Errors of shared values and maps.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_codec::{DecodeError, EncodeError, Escaped, NameError};

use crate::error::debug_as_report;
use crate::error::send_failure::{SendFailure, Unconfirmed};

debug_as_report! { SharedError LoadError StoreError }

/// An error of opening a shared value or map.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SharedError {
    /// The bus is shut down.
    #[error("the bus is shut down")]
    Closed,
    /// The name is not valid.
    #[error("`{}` cannot be the name of a shared value or map", Escaped(.shared))]
    Name {
        /// The name.
        shared: String,
        /// The broken rule.
        source: NameError,
    },
    /// This bus already uses the name for another type.
    #[error("cannot use `{shared}` for `{second}`: this bus already uses it for `{first}`")]
    Conflict {
        /// The name.
        shared: String,
        /// The type of the first use.
        first: &'static str,
        /// The type of this use.
        second: &'static str,
    },
}

/// An error of reading a shared value or an entry of a map. It is cheap to clone: all callers that
/// waited for one read get the same error.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The key holds something else.
    #[error(
        "the key of `{}` holds no shared value: {}",
        Escaped(.shared),
        Escaped(.words)
    )]
    Foreign {
        /// The name.
        shared: String,
        /// The problem.
        words: String,
    },
    /// The value has a format that this version of tidings does not know.
    #[error(
        "cannot decode `{}`: this version of tidings does not know its format `{}`",
        Escaped(.shared),
        Escaped(.format)
    )]
    Format {
        /// The name.
        shared: String,
        /// The name of the format.
        format: String,
    },
    /// The value does not decode as this type.
    #[error("cannot decode `{}`", Escaped(.shared))]
    Decode {
        /// The name.
        shared: String,
        /// The decoding error.
        source: Arc<DecodeError>,
    },
    /// The key is not valid for the map, or Redis holds a field that is no key.
    #[error("`{}` cannot be a key of `{shared}`: {}", Escaped(.key), Escaped(.words))]
    Key {
        /// The map's name.
        shared: String,
        /// The key as text, or its beginning.
        key: String,
        /// The problem.
        words: String,
    },
    /// Redis is unreachable, rejected the command, or did not answer.
    #[error("cannot read `{}`: {reason}", Escaped(.shared))]
    Unread {
        /// The name.
        shared: String,
        /// The reason.
        reason: SendFailure,
    },
}

/// An error of changing a shared value or an entry of a map.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The new value cannot be encoded.
    #[error("cannot encode `{}`", Escaped(.shared))]
    Encode {
        /// The name.
        shared: String,
        /// The encoding error.
        source: Arc<EncodeError>,
    },
    /// The old value cannot be read, so the update was not computed.
    #[error("`{}` was not changed", Escaped(.shared))]
    Load {
        /// The name.
        shared: String,
        /// The error of reading it.
        source: LoadError,
    },
    /// Other processes changed the value during each attempt. It was not changed.
    #[error("cannot update `{}`: other processes changed it during each of {attempts} attempts", Escaped(.shared))]
    Contended {
        /// The name.
        shared: String,
        /// The number of attempts.
        attempts: u32,
    },
    /// An `update`, a `set` of an invalidated entry or a repeated invalidation by this process did not
    /// end within [`send_timeout`](crate::BusBuilder::send_timeout), and this change of the map waited
    /// for it. Redis may not answer it, or its future is held without being polled. The entry was not
    /// changed.
    #[error("`{}` was not changed: an earlier change by this process has not ended within {patience:?}", Escaped(.shared))]
    Blocked {
        /// The entry, as `map[key]`.
        shared: String,
        /// The time that it waited.
        patience: Duration,
    },
    /// Redis did not confirm the change.
    #[error("`{}`: {}", Escaped(.shared), .why.of_command())]
    Unconfirmed {
        /// The name.
        shared: String,
        /// Whether the change may have taken effect, and why Redis did not confirm it.
        why: Unconfirmed,
    },
}

impl StoreError {
    /// The error of a change that was not made because the old value cannot be read.
    pub(crate) fn not_read(shared: &str, source: LoadError) -> Self {
        let shared = shared.to_owned();
        match source {
            LoadError::Unread { reason, .. } => {
                let why = Unconfirmed::NotSent(reason);
                Self::Unconfirmed { shared, why }
            }
            source => Self::Load { shared, source },
        }
    }

    /// Returns true if the change may have taken effect.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unconfirmed { why, .. } if why.is_unknown())
    }
}

/// An error of [`SharedMap::get_or_load`](crate::SharedMap::get_or_load). It is cheap to clone: all
/// callers that waited for one load get the same error.
#[non_exhaustive]
pub enum GetOrLoadError<E> {
    /// The entry in Redis cannot be read, and was not overwritten: it may come from a newer version of
    /// the program.
    Load(LoadError),
    /// The loader failed.
    Loader {
        /// The entry, as `map[key]`.
        shared: String,
        /// The loader's error.
        source: Arc<E>,
    },
    /// A loader wants the entry that it loads, itself or through the loader of another key: it would
    /// wait for itself.
    Recursive {
        /// The entry, as `map[key]`.
        shared: String,
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
            Self::Recursive { shared } => Self::Recursive {
                shared: shared.clone(),
            },
        }
    }
}

impl<E> fmt::Display for GetOrLoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Loader { shared, .. } => write!(f, "the loader of `{shared}` failed"),
            Self::Recursive { shared } => {
                write!(f, "the loader of `{shared}` would wait for itself")
            }
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for GetOrLoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Loader { source, .. } => write!(f, "{self}: {source:?}"),
            Self::Recursive { .. } => write!(f, "{self}"),
        }
    }
}

impl<E: Error + 'static> Error for GetOrLoadError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Load(error) => error.source(),
            Self::Loader { source, .. } => Some(&**source),
            Self::Recursive { .. } => None,
        }
    }
}
