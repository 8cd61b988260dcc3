//! The changes of a shared value, for those who wait for them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::stream::{BoxStream, StreamExt, unfold};

use crate::shared::options::Shareable;
use crate::shared::snapshot::Snapshot;
use crate::shared::value_replica::ValueReplica;
use crate::task::stage::Stage;

/// The changes of a shared value from now on: [`Shared::watch`](crate::shared::value::Shared::watch) gives it. Who
/// is slow sees the newest value and not each one before. That Redis holds what cannot be read, and
/// that it does no longer, is a change as well: [`Snapshot::problem`] tells. It is a `Stream`, too.
///
/// It ends with the bus, which it does not keep alive.
pub struct SharedWatch<T> {
    name: Arc<str>,
    snapshots: BoxStream<'static, Snapshot<T>>,
}

impl<T: Shareable> SharedWatch<T> {
    pub(super) fn new(replica: Arc<ValueReplica<T>>) -> Self {
        let name = Arc::clone(&replica.name);
        let (here, stage) = (replica.current.subscribe(), replica.stage.clone());
        // It holds the copy: who watches need not hold anything else.
        let snapshots = unfold(
            (replica, here, stage),
            |(replica, mut here, mut stage)| async move {
                loop {
                    tokio::select! {
                        biased;
                        changed = here.changed() => changed.ok()?,
                        _ = stage.wait_for(|stage| *stage >= Stage::Leaving) => return None,
                    }
                    let snapshot = here.borrow_and_update().snapshot().cloned();
                    if let Some(snapshot) = snapshot {
                        return Some((snapshot, (replica, here, stage)));
                    }
                }
            },
        );
        Self {
            name,
            snapshots: snapshots.fuse().boxed(),
        }
    }
}

impl<T> SharedWatch<T> {
    /// Waits for another value, and returns the newest; `None` once the bus has ended. Dropping the
    /// wait loses nothing.
    pub async fn changed(&mut self) -> Option<Snapshot<T>> {
        self.snapshots.next().await
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
        f.debug_tuple("Changes").field(&self.name).finish()
    }
}
