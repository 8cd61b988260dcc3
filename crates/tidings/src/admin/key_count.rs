//! The number of keys of a namespace, counted within a budget.

use std::time::{Duration, Instant};

use redis::{Cmd, RedisResult};

use crate::namespace::Namespace;
use crate::resp::Client;

/// The keys that one `SCAN` looks at.
const STEP: usize = 1_000;

/// The maximum number of keys that are looked at.
const MAX_KEYS: usize = 200_000;

/// The maximum number of keys that are listed of a slot.
const MAX_OF_SLOT: usize = 10_000;

/// The time after which no further `SCAN` begins.
const TIME: Duration = Duration::from_millis(500);

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

/// Counts the keys of a namespace in the database of the connection.
pub(super) async fn scan(mut client: Client, namespace: &Namespace) -> RedisResult<KeyCount> {
    let (began, mut cursor, mut count) = (Instant::now(), 0_u64, 0);
    for _ in 0..MAX_KEYS / STEP {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern(namespace));
        scan.arg("COUNT").arg(STEP);
        let (next, found): (u64, Vec<Vec<u8>>) = scan.query_async(&mut client).await?;
        cursor = next;
        count += found.len() as u64;
        if cursor == 0 || began.elapsed() > TIME {
            break;
        }
    }
    let is_complete = cursor == 0;
    Ok(KeyCount { count, is_complete })
}

/// Counts the keys of a namespace in its slot on the node that has it. Keys of other programs may have
/// the same slot.
pub(super) async fn of_slot(
    mut client: Client,
    namespace: &Namespace,
    slot: u16,
) -> RedisResult<KeyCount> {
    let keys: Vec<Vec<u8>> = list(slot).query_async(&mut client).await?;
    let prefix = format!("{}:", namespace.channel());
    let own = keys.iter().filter(|key| key.starts_with(prefix.as_bytes()));
    Ok(KeyCount {
        count: own.count() as u64,
        is_complete: keys.len() < MAX_OF_SLOT,
    })
}

fn list(slot: u16) -> Cmd {
    let mut list = redis::cmd("CLUSTER");
    list.arg("GETKEYSINSLOT").arg(slot).arg(MAX_OF_SLOT);
    list
}

/// The pattern of the keys. The name of a namespace has no special characters.
fn pattern(namespace: &Namespace) -> String {
    format!("{}:*", namespace.channel())
}
