//! Streams of the changes of a map.

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, unfold};
use futures_util::{Stream, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::time::{Duration, sleep};

use crate::error::send_failure::SendFailure;
use crate::error::shared::LoadError;
use crate::keyspace::access::Availability;
use crate::shared::map::entry::Key;
use crate::shared::map::replica::MapReplica;
use crate::shared::map::watchers::MapChange;
use crate::shared::options::Shareable;

/// The time between two attempts to read an entry while Redis is reachable.
const RETRY: Duration = Duration::from_secs(1);

/// The state of an entry.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EntryState<V> {
    /// It has this value.
    Present(Arc<V>),
    /// The map has no such entry.
    Absent,
    /// Its value cannot be decoded.
    Unreadable(LoadError),
}

/// A [`Stream`] of the changes of one entry, from [`SharedMap::watch`](crate::SharedMap::watch).
///
/// A slow reader gets the newest state, not each one before it, and no state twice in a row. While
/// Redis is unreachable, the stream waits. It ends with the bus, and does not keep it alive.
pub struct EntryWatch<V> {
    /// Makes the stream return the entry as it is.
    look: Arc<Notify>,
    latest: BoxStream<'static, EntryState<V>>,
}

/// A [`Stream`] of the changes in a map, from
/// [`SharedMap::watch_all`](crate::SharedMap::watch_all).
///
/// For a slow reader, several changes of one entry become one. The stream ends with the bus, and
/// does not keep it alive.
pub struct MapWatch<K> {
    changes: BoxStream<'static, MapChange<K>>,
}

impl<V> EntryWatch<V> {
    /// Waits for the next change and returns the newest state, or `None` once the bus has ended.
    ///
    /// Cancel safe: dropping the future loses no change.
    pub async fn changed(&mut self) -> Option<EntryState<V>> {
        self.latest.next().await
    }

    /// Waits until `wanted` accepts the state, now or after a change, and returns it, or `None` once
    /// the bus has ended.
    ///
    /// Cancel safe: dropping the future loses no change other than those that `wanted` rejected.
    pub async fn wait_for(
        &mut self,
        mut wanted: impl FnMut(&EntryState<V>) -> bool,
    ) -> Option<EntryState<V>> {
        self.look.notify_one();
        self.filter(|state| ready(wanted(state))).next().await
    }
}

impl<K> MapWatch<K> {
    /// Waits for the next change and returns it, or `None` once the bus has ended.
    ///
    /// Cancel safe: dropping the future loses no change.
    pub async fn changed(&mut self) -> Option<MapChange<K>> {
        self.changes.next().await
    }

    /// Waits for a change that `wanted` accepts and returns it, or `None` once the bus has ended.
    ///
    /// Cancel safe: dropping the future loses no change other than those that `wanted` rejected.
    pub async fn wait_for(
        &mut self,
        mut wanted: impl FnMut(&MapChange<K>) -> bool,
    ) -> Option<MapChange<K>> {
        self.filter(|change| ready(wanted(change))).next().await
    }
}

impl<V> Stream for EntryWatch<V> {
    type Item = EntryState<V>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<EntryState<V>>> {
        self.latest.poll_next_unpin(cx)
    }
}

impl<K> Stream for MapWatch<K> {
    type Item = MapChange<K>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<MapChange<K>>> {
        self.changes.poll_next_unpin(cx)
    }
}

pub(crate) fn watch_all<K: Key, V: Shareable>(replica: &Arc<MapReplica<K, V>>) -> MapWatch<K> {
    let pending = replica.watchers.watch_all();
    let way = replica.keyspace.watch();
    // The replica receives changes only while it exists.
    let watching = (pending, way, Arc::clone(replica));
    let changes = unfold(watching, async |mut watching| {
        let (pending, way, _) = &mut watching;
        let change = tokio::select! {
            biased;
            change = pending.next() => change,
            () = closed(way) => return None,
        };
        Some((change, watching))
    });
    MapWatch {
        changes: changes.boxed(),
    }
}

pub(crate) fn watch_entry<K: Key, V: Shareable>(
    replica: &Arc<MapReplica<K, V>>,
    key: &K,
) -> EntryWatch<V> {
    let look = Arc::new(Notify::new());
    let following = Following {
        look: Arc::clone(&look),
        changed: replica.watchers.watch(key),
        known: replica.peek(key).map(|entry| entry.nonce),
        way: replica.keyspace.watch(),
        replica: Arc::clone(replica),
        key: key.clone(),
    };
    let latest = unfold(following, async |mut following| {
        let latest = following.next().await?;
        Some((latest, following))
    });
    EntryWatch {
        look,
        latest: latest.boxed(),
    }
}

/// The state of a stream of one entry.
struct Following<K: Key, V: Shareable> {
    look: Arc<Notify>,
    changed: watch::Receiver<()>,
    /// The nonce of the state that was returned last.
    known: Option<Arc<str>>,
    way: watch::Receiver<Availability>,
    replica: Arc<MapReplica<K, V>>,
    key: K,
}

impl<K: Key, V: Shareable> Following<K, V> {
    async fn next(&mut self) -> Option<EntryState<V>> {
        let mut way = self.way.clone();
        let keyspace = Arc::clone(&self.replica.keyspace);
        tokio::select! {
            biased;
            latest = keyspace.in_runtime(self.newest()) => latest,
            () = closed(&mut way) => None,
        }
    }

    async fn newest(&mut self) -> Option<EntryState<V>> {
        loop {
            tokio::select! {
                biased;
                () = self.look.notified() => {
                    self.changed.mark_unchanged();
                    self.known = None;
                }
                changed = self.changed.changed() => changed.ok()?,
            }
            let (nonce, latest) = self.read().await;
            if self.known.as_ref() == Some(&nonce) {
                continue;
            }
            self.known = Some(nonce);
            return Some(latest);
        }
    }

    /// Reads the entry, as soon as that is possible.
    async fn read(&mut self) -> (Arc<str>, EntryState<V>) {
        loop {
            // What changes from here on is another change.
            let mut way = self.way.clone();
            way.mark_unchanged();
            match self.replica.read(&self.key).await {
                Ok(entry) => return (entry.nonce, EntryState::of(entry.value)),
                Err(LoadError::Unread { .. }) => {
                    tokio::select! {
                        _ = way.changed() => {}
                        () = sleep(RETRY) => {}
                    }
                }
                Err(error) => return ("?".into(), EntryState::Unreadable(error)),
            }
        }
    }
}

impl<K: Key, V: Shareable> Drop for Following<K, V> {
    fn drop(&mut self) {
        // It ends before it is counted: of two that end at once, the last one sees that it is.
        drop(std::mem::replace(&mut self.changed, watch::channel(()).1));
        self.replica.watchers.unwatch(&self.key);
    }
}

impl<V> EntryState<V> {
    fn of(value: Result<Option<Arc<V>>, LoadError>) -> Self {
        match value {
            Ok(Some(value)) => Self::Present(value),
            Ok(None) => Self::Absent,
            Err(error) => Self::Unreadable(error),
        }
    }
}

/// Waits for the end of the bus.
async fn closed(way: &mut watch::Receiver<Availability>) {
    let is_closed =
        |way: &Availability| matches!(way, Err(SendFailure::Closed | SendFailure::RuntimeEnded));
    let _ = way.wait_for(is_closed).await;
}

impl<V> fmt::Debug for EntryWatch<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryWatch").finish_non_exhaustive()
    }
}

impl<K> fmt::Debug for MapWatch<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapWatch").finish_non_exhaustive()
    }
}
