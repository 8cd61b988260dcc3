//! Facts about a server that take several answers, beyond its settings.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::admin::answers::Asking;
use crate::admin::server::{ServerRole, ServerState};
use crate::admin::settings::Settings;
use crate::admin::view::Admin;
use crate::admin::{cluster_nodes, databases, permissions};
use crate::journal::access::{self, DurableName, JournalInfo};
use crate::keyspace::journal::stream::RedisJournal;
use crate::namespace::Namespace;
use crate::resp::Client;
use crate::transport::server::redis_connection::Access;
use crate::transport::servers::Located;

/// Adds the view of a node of a cluster, and to the settings what was not a single answer.
pub(super) async fn examine(
    admin: &Admin,
    located: &Located,
    asking: &Asking<'_>,
    state: ServerState,
) -> ServerState {
    let Some(settings) = state.settings.clone() else {
        return state;
    };
    if state.role == ServerRole::Sentinel {
        return state;
    }
    let (access, namespace) = (admin.servers.access(located), &admin.namespace);
    let (round_trip, clock_offset) = clock(asking).await;
    let nodes: Option<String> = match &located.node {
        Some(_) => asking.words("CLUSTER NODES").await,
        None => None,
    };
    let missing = permissions::missing(asking, namespace).await;
    let has_journal = databases::has_journal(asking, namespace).await;
    let journal = match has_journal {
        Some(true) => {
            let journal = journal(asking.client(), namespace, access);
            asking.in_time(journal).await.flatten()
        }
        _ => None,
    };
    let (journal, durable_names) = journal.unzip();
    // Last, because the connection stays in another database.
    let own = access.database();
    let other_databases = databases::others(asking, &state.info, namespace, own).await;
    ServerState {
        round_trip: round_trip.min(state.round_trip),
        clock_offset,
        nodes: cluster_nodes::parse(&nodes.unwrap_or_default()),
        settings: Some(Settings {
            missing,
            has_journal,
            journal,
            durable_names: durable_names.unwrap_or_default(),
            other_databases,
            ..settings
        }),
        ..state
    }
}

/// Reads the extent of the journal and its durable names. A bus would become a reader of it.
async fn journal(
    client: &Client,
    namespace: &Namespace,
    access: &Access,
) -> Option<(JournalInfo, Vec<DurableName>)> {
    let (keys, needs) = (namespace.journal(), Arc::clone(&access.needs));
    let store = Arc::new(RedisJournal::new(client.clone(), keys, needs, false));
    let info = access::info(store.clone()).await.ok()?;
    let names = access::positions(store).await.ok()?;
    Some((info, names))
}

/// Asks for the time, and returns the shortest round trip of three, with the milliseconds by which the
/// clock of the server was ahead of the one here. One alone may be long on a busy machine.
async fn clock(asking: &Asking<'_>) -> (Duration, Option<i64>) {
    let mut shortest = (Duration::MAX, None);
    for _ in 0..3 {
        let (here, began) = (SystemTime::now(), Instant::now());
        let there: Option<(u64, u64)> = asking.words("TIME").await;
        let took = began.elapsed();
        if took < shortest.0 {
            shortest = (took, there.and_then(|there| ahead(there, here + took / 2)));
        }
    }
    shortest
}

fn ahead((seconds, micros): (u64, u64), here: SystemTime) -> Option<i64> {
    let here = here.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let there = seconds.checked_mul(1_000)?.checked_add(micros / 1_000)?;
    let here = i64::try_from(here.as_millis()).ok()?;
    i64::try_from(there).ok()?.checked_sub(here)
}
