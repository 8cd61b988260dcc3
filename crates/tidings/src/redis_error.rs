//! The text of Redis errors.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::connect::NODE_OF_CLUSTER;

/// The error text of Redis itself, without that of the `redis` crate.
pub(crate) fn words(error: &RedisError) -> String {
    use ServerErrorKind::{Ask, CrossSlot, Moved};
    let words = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    };
    match error.kind() {
        // A cluster node that hides its mode is recognized here.
        ErrorKind::Server(Moved | Ask | CrossSlot) => {
            format!("{words} (the server is {NODE_OF_CLUSTER})")
        }
        _ => words,
    }
}

/// Returns true if the user lacks a permission. A denial inside a script has another code.
pub(crate) fn is_denied(error: &RedisError, words: &str) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || words.contains("The user executing the script can't")
        || words.contains("ACL failure in script")
}
