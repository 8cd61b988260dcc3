//! Looks for the namespace in other databases of a server.

use redis::RedisResult;

use crate::admin::answers::Asking;
use crate::admin::fields::Fields;
use crate::namespace::Namespace;

/// The maximum number of databases that are looked at.
const MAX_DATABASES: usize = 64;

/// Returns the databases that have members or a journal of the namespace, without the own one. `None` if
/// none is found, and one of them is not known. The connection is in another database afterwards.
pub(super) async fn others(
    asking: &Asking<'_>,
    info: &Fields,
    namespace: &Namespace,
    own: u64,
) -> Option<Vec<u64>> {
    let numbers = info
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("db")?.parse().ok());
    let others = numbers.filter(|number| *number != own).take(MAX_DATABASES);
    let mut having = Vec::new();
    let mut is_known = !info.is_empty();
    for number in others {
        match has_namespace(asking, number, namespace).await {
            Some(true) => having.push(number),
            Some(false) => {}
            None => is_known = false,
        }
    }
    (is_known || !having.is_empty()).then_some(having)
}

/// Returns whether the namespace has a journal; `None` if the user may not look, or another node of a
/// cluster has its keys.
pub(super) async fn has_journal(asking: &Asking<'_>, namespace: &Namespace) -> Option<bool> {
    let mut exists = redis::cmd("EXISTS");
    exists.arg(namespace.journal().stream);
    let keys: RedisResult<u64> = asking.in_time(asking.client().query(&exists)).await?;
    match keys {
        Err(error) if error.code() == Some("MOVED") => None,
        keys => Some(asking.noted("EXISTS", keys)? > 0),
    }
}

async fn has_namespace(asking: &Asking<'_>, number: u64, namespace: &Namespace) -> Option<bool> {
    let mut select = redis::cmd("SELECT");
    select.arg(number);
    let () = asking.ask("SELECT", select).await?;
    let mut exists = redis::cmd("EXISTS");
    exists
        .arg(namespace.members().members)
        .arg(namespace.journal().stream);
    let keys: u64 = asking.ask("EXISTS", exists).await?;
    Some(keys > 0)
}
