//! Looks for the namespace in other databases of a server.

use redis::RedisResult;

use crate::admin::fields::Fields;
use crate::namespace::Namespace;
use crate::resp::Client;

/// The maximum number of databases that are looked at.
const MAX_DATABASES: usize = 64;

/// Returns the databases that have members or a journal of the namespace, without the own one. The
/// connection is in another database afterwards.
pub(super) async fn others(
    client: &Client,
    info: &Fields,
    namespace: &Namespace,
    own: u64,
) -> Vec<u64> {
    let numbers = info
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("db")?.parse().ok());
    let others = numbers.filter(|number| *number != own).take(MAX_DATABASES);
    let mut having = Vec::new();
    for number in others {
        if has_namespace(client, number, namespace)
            .await
            .unwrap_or(false)
        {
            having.push(number);
        }
    }
    having
}

/// Returns whether the namespace has a journal; `None` if the user may not look, or another node of a
/// cluster has its keys.
pub(super) async fn has_journal(client: &Client, namespace: &Namespace) -> Option<bool> {
    let mut exists = redis::cmd("EXISTS");
    exists.arg(namespace.journal().stream);
    let keys: RedisResult<u64> = exists.query_async(&mut client.clone()).await;
    Some(keys.ok()? > 0)
}

async fn has_namespace(client: &Client, number: u64, namespace: &Namespace) -> RedisResult<bool> {
    let client = &mut client.clone();
    let () = redis::cmd("SELECT").arg(number).query_async(client).await?;
    let mut exists = redis::cmd("EXISTS");
    exists
        .arg(namespace.members())
        .arg(namespace.journal().stream);
    let keys: u64 = exists.query_async(client).await?;
    Ok(keys > 0)
}
