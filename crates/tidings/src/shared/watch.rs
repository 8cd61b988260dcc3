//! A stream of the changes of a shared value.

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use tokio::sync::Notify;

use crate::shared::options::Shareable;
use crate::shared::snapshot::Snapshot;
use crate::shared::value_replica::ValueReplica;
use crate::task::stage::Stage;

/// A [`Stream`] of the changes of a shared value, from [`Shared::watch`](crate::Shared::watch).
///
/// A slow reader gets the newest value, not each one before it. A value in Redis that becomes
/// unreadable or readable again is a change as well; see [`Snapshot::problem`]. The stream ends with
/// the bus, and does not keep it alive.
pub struct SharedWatch<T> {
    name: Arc<str>,
    /// Makes the stream return the value as it is.
    look: Arc<Notify>,
    snapshots: BoxStream<'static, Snapshot<T>>,
}

impl<T: Shareable> SharedWatch<T> {
    pub(super) fn new(replica: Arc<ValueReplica<T>>) -> Self {
        let name = Arc::clone(&replica.name);
        let look = Arc::new(Notify::new());
        let looks = Arc::clone(&look);
        let (here, stage) = (replica.current.subscribe(), replica.stage.clone());
        // It holds the replica, so that the caller need not hold the `Shared`.
        let snapshots = unfold(
            (replica, here, stage, looks),
            |(replica, mut here, mut stage, looks)| async move {
                loop {
                    tokio::select! {
                        biased;
                        () = looks.notified() => {}
                        changed = here.changed() => changed.ok()?,
                        _ = stage.wait_for(|stage| *stage >= Stage::Leaving) => return None,
                    }
                    let snapshot = here.borrow_and_update().snapshot().cloned();
                    if let Some(snapshot) = snapshot {
                        return Some((snapshot, (replica, here, stage, looks)));
                    }
                }
            },
        );
        Self {
            name,
            look,
            snapshots: snapshots.fuse().boxed(),
        }
    }
}

impl<T> SharedWatch<T> {
    /// Waits for the next change and returns the newest value, or `None` once the bus has ended.
    ///
    /// Cancel safe: dropping the future loses no change.
    pub async fn changed(&mut self) -> Option<Snapshot<T>> {
        self.snapshots.next().await
    }

    /// Waits until `wanted` accepts the value, now or after a change, and returns it, or `None` once
    /// the bus has ended.
    ///
    /// Cancel safe: dropping the future loses no change other than those that `wanted` rejected.
    pub async fn wait_for(
        &mut self,
        mut wanted: impl FnMut(&Snapshot<T>) -> bool,
    ) -> Option<Snapshot<T>> {
        self.look.notify_one();
        self.filter(|snapshot| ready(wanted(snapshot))).next().await
    }
}

impl<T> Stream for SharedWatch<T> {
    type Item = Snapshot<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Snapshot<T>>> {
        self.snapshots.poll_next_unpin(cx)
    }
}

impl<T> fmt::Debug for SharedWatch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedWatch").field(&self.name).finish()
    }
}
