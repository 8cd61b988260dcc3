//! What an error of Redis says.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::connect::NODE_OF_CLUSTER;

/// Redis's own words, without the crate's.
pub(crate) fn words(error: &RedisError) -> String {
    use ServerErrorKind::{Ask, CrossSlot, Moved};
    let words = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    };
    match error.kind() {
        // A server that hides at first what it is says so here.
        ErrorKind::Server(Moved | Ask | CrossSlot) => {
            format!("{words} (the server is {NODE_OF_CLUSTER})")
        }
        _ => words,
    }
}

/// Whether the user may not do it. What a script is denied has a code of its own.
pub(crate) fn is_denied(error: &RedisError, words: &str) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || words.contains("The user executing the script can't")
        || words.contains("ACL failure in script")
}
