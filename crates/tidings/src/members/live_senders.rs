//! The task that lists the members in Redis, so that the sequence numbers of live senders are not
//! discarded.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::keyspace::access::KeyspaceAccess;
use crate::namespace::MemberKeys;
use crate::receive::remembered::Remembered;
use crate::task::stage::{Stage, until_leaving};

/// The minimal time between two requests.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Lists the members whenever that is requested, until the bus ends.
pub(crate) async fn supply(
    remembered: Arc<Remembered>,
    keyspace: Arc<KeyspaceAccess>,
    keys: MemberKeys,
    stage: watch::Receiver<Stage>,
) {
    until_leaving(stage, query(&remembered, &keyspace, &keys)).await;
}

async fn query(remembered: &Remembered, keyspace: &KeyspaceAccess, keys: &MemberKeys) {
    loop {
        remembered.wanted().await;
        let requested = Instant::now();
        match keyspace.request(|keyspace| keyspace.list(keys)).await {
            Ok(listed) => {
                let ids = listed.members.into_iter().map(|(id, _)| id).collect();
                remembered.answer(requested, ids);
            }
            Err(error) => tracing::debug!(?error, "cannot list the members"),
        }
        sleep(MIN_INTERVAL).await;
    }
}
