//! The task that asks Redis for the members, so that they are not forgotten as senders.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::keyspace::access::KeyspaceAccess;
use crate::keyspace::member_list::Keys;
use crate::receive::remembered::Remembered;
use crate::task::stage::Stage;

/// How often Redis is asked at most.
const EVERY: Duration = Duration::from_secs(1);

/// Asks Redis when it is wanted, until the bus ends.
pub(crate) async fn remember(
    remembered: Arc<Remembered>,
    keyspace: Arc<KeyspaceAccess>,
    keys: Keys,
    mut stage: watch::Receiver<Stage>,
) {
    tokio::select! {
        () = answer(&remembered, &keyspace, &keys) => {}
        _ = stage.wait_for(|stage| *stage >= Stage::Leaving) => {}
    }
}

async fn answer(remembered: &Remembered, keyspace: &KeyspaceAccess, keys: &Keys) {
    loop {
        remembered.wanted().await;
        let at = Instant::now();
        match keyspace.ask(|keyspace| keyspace.list(keys)).await {
            Ok(listed) => {
                let ids = listed.members.into_iter().map(|(id, _)| id).collect();
                remembered.answer(at, ids);
            }
            Err(undone) => tracing::debug!(?undone, "cannot ask who must not be forgotten"),
        }
        sleep(EVERY).await;
    }
}
