//! A stream of the changes of a shared value.

use std::sync::Arc;

use futures_util::stream::unfold;
use tokio::sync::Notify;

use crate::shared::options::Shareable;
use crate::shared::snapshot::Snapshot;
use crate::shared::value_replica::ValueReplica;
use crate::task::watch::Watch;

/// A [`Watch`] of a shared value, from [`Shared::watch`](crate::Shared::watch).
///
/// A value in Redis that becomes unreadable or readable again is a change as well; see
/// [`Snapshot::problem`].
pub type SharedWatch<T> = Watch<Snapshot<T>>;

pub(super) fn watch<T: Shareable>(replica: Arc<ValueReplica<T>>) -> SharedWatch<T> {
    let look = Arc::new(Notify::new());
    let looks = Arc::clone(&look);
    let here = replica.current.subscribe();
    // It holds the replica, so that the caller need not hold the `Shared`.
    let snapshots = unfold(
        (replica, here, looks),
        |(replica, mut here, looks)| async move {
            loop {
                tokio::select! {
                    biased;
                    () = looks.notified() => {}
                    changed = here.changed() => changed.ok()?,
                    () = replica.keyspace.ended() => return None,
                }
                let snapshot = here.borrow_and_update().snapshot().cloned();
                if let Some(snapshot) = snapshot {
                    return Some((snapshot, (replica, here, looks)));
                }
            }
        },
    );
    Watch::of_state(look, snapshots)
}
