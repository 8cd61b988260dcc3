//! Lists the keys of a namespace within a budget.

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

/// Lists the keys of a namespace in the database of the connection, a key more than once at times.
/// Returns whether these are all.
pub(super) async fn scan(
    mut client: Client,
    namespace: &Namespace,
    mut found: impl FnMut(Vec<Vec<u8>>),
) -> RedisResult<bool> {
    let (began, mut cursor) = (Instant::now(), 0_u64);
    for _ in 0..MAX_KEYS / STEP {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern(namespace));
        scan.arg("COUNT").arg(STEP);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut client).await?;
        cursor = next;
        found(keys);
        if cursor == 0 || began.elapsed() > TIME {
            break;
        }
    }
    Ok(cursor == 0)
}

/// Lists the keys of a namespace in its slot on the node that has it. Keys of other programs may have
/// the same slot. Returns whether these are all.
pub(super) async fn of_slot(
    mut client: Client,
    namespace: &Namespace,
    slot: u16,
    mut found: impl FnMut(Vec<Vec<u8>>),
) -> RedisResult<bool> {
    let mut keys: Vec<Vec<u8>> = list(slot).query_async(&mut client).await?;
    let are_all = keys.len() < MAX_OF_SLOT;
    let prefix = format!("{}:", namespace.channel());
    keys.retain(|key| key.starts_with(prefix.as_bytes()));
    found(keys);
    Ok(are_all)
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
