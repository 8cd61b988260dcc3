//! The number of keys of a namespace, counted within a budget.

use redis::RedisResult;

use crate::admin::keys;
use crate::namespace::Namespace;
use crate::resp::Client;

/// The number of keys of the namespace.
///
/// On a single server, at most about 200,000 keys of all namespaces are looked at, in steps of 1,000 and
/// for half a second at most. In a cluster, at most 10,000 keys of the namespace's slot are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyCount {
    /// The number of keys that were found.
    pub count: u64,
    /// False if there may be more: the count ended early.
    pub is_complete: bool,
}

/// Counts the keys of a namespace in the database of the connection, or in its slot in a cluster.
pub(super) async fn count(
    client: &Client,
    namespace: &Namespace,
    slot: Option<u16>,
) -> RedisResult<KeyCount> {
    let mut count = 0;
    let found = |keys: Vec<_>| count += keys.len() as u64;
    let is_complete = keys::list(client, namespace, slot, found).await?;
    Ok(KeyCount { count, is_complete })
}
