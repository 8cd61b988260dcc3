//! Lists the keys of a namespace within a budget.

use std::time::{Duration, Instant};

use redis::RedisResult;

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

/// Lists the keys of a namespace in the database of the connection, a key more than once at times, or
/// in its slot in a cluster. Returns whether these are all.
pub(super) async fn list(
    client: &Client,
    namespace: &Namespace,
    slot: Option<u16>,
    found: impl FnMut(Vec<Vec<u8>>),
) -> RedisResult<bool> {
    let prefix = format!("{}:", namespace.channel());
    match slot {
        None => scan(client, &prefix, found).await,
        Some(slot) => of_slot(client, &prefix, slot, found).await,
    }
}

async fn scan(
    client: &Client,
    prefix: &str,
    mut found: impl FnMut(Vec<Vec<u8>>),
) -> RedisResult<bool> {
    let (began, mut cursor) = (Instant::now(), 0_u64);
    for _ in 0..MAX_KEYS / STEP {
        let mut scan = redis::cmd("SCAN");
        // The name of a namespace has no special characters.
        scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*"));
        scan.arg("COUNT").arg(STEP);
        let (next, keys): (u64, Vec<Vec<u8>>) = client.query(&scan).await?;
        cursor = next;
        found(keys);
        if cursor == 0 || began.elapsed() > TIME {
            break;
        }
    }
    Ok(cursor == 0)
}

/// Keys of other programs may have the same slot.
async fn of_slot(
    client: &Client,
    prefix: &str,
    slot: u16,
    mut found: impl FnMut(Vec<Vec<u8>>),
) -> RedisResult<bool> {
    let mut list = redis::cmd("CLUSTER");
    list.arg("GETKEYSINSLOT").arg(slot).arg(MAX_OF_SLOT);
    let mut keys: Vec<Vec<u8>> = client.query(&list).await?;
    let are_all = keys.len() < MAX_OF_SLOT;
    keys.retain(|key| key.starts_with(prefix.as_bytes()));
    found(keys);
    Ok(are_all)
}
