//! Answers to operations on the journal, and their errors.

use futures_util::future::BoxFuture;
use redis::RedisError;
use tidings_codec::Escaped;

use crate::redis_error::own_words;
use crate::resp::cursor::Unexpected;

/// The answer to an operation on the journal.
pub(crate) type Answered<T> = BoxFuture<'static, Result<T, JournalError>>;

/// The reason why an operation on the journal was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// Not done: the server does not have the journal, or may not write it.
    #[error("redis says `{}`", Escaped(own_words(.0)))]
    Elsewhere(RedisError),
    /// Not done, and a retry may help.
    #[error("redis says `{}`", Escaped(.0))]
    NotNow(String),
    /// Not done, for this reason.
    #[error("redis says `{}`", Escaped(.words))]
    Refused {
        words: String,
        is_out_of_memory: bool,
    },
    /// Not done, because a key holds another type, as this says.
    #[error("{}", Escaped(.0))]
    Key(String),
    /// Not done, because the user lacks a permission.
    #[error("redis says `{}` ({cure})", Escaped(.words))]
    Denied { words: String, cure: String },
    /// Unknown: the connection ended, or the answer cannot be read.
    #[error("redis gave no answer that can be read")]
    Lost,
}

impl From<Unexpected> for JournalError {
    /// An answer that cannot be read does not say what Redis did.
    fn from(_: Unexpected) -> Self {
        Self::Lost
    }
}
