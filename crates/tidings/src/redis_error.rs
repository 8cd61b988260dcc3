//! The text of Redis errors.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// The error text of Redis itself, without that of the `redis` crate.
pub(crate) fn words(error: &RedisError) -> String {
    use ServerErrorKind::{Ask, CrossSlot, Moved};
    let words = own_words(error);
    match error.kind() {
        // A cluster node that hides its mode is recognized here.
        ErrorKind::Server(Moved | Ask | CrossSlot) => {
            format!("{words} (it is a node of a Redis Cluster: write `redis+cluster:`)")
        }
        _ => words,
    }
}

/// As [`words`], without a hint.
pub(crate) fn own_words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

/// Returns true if the user may not run the command, or the server does not know it.
pub(crate) fn is_hidden(error: &RedisError) -> bool {
    use ServerErrorKind::{NoPerm, ResponseError};
    matches!(error.kind(), ErrorKind::Server(NoPerm | ResponseError))
}

/// Returns true if the user lacks a permission. A denied `EXEC` and a denial inside a script have
/// another code.
pub(crate) fn is_denied(error: &RedisError) -> bool {
    let words = own_words(error);
    words.contains("NOPERM")
        || words.contains("The user executing the script can't")
        || words.contains("ACL failure in script")
}
