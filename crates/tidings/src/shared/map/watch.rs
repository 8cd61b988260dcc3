//! Changes of a map, for those who wait for them: a slow one sees the newest, never a queue.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, unfold};
use futures_util::{Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::{Duration, sleep};

use crate::error::send_failure::SendFailure;
use crate::error::shared::LoadError;
use crate::keyspace::access::Availability;
use crate::shared::map::entry::Key;
use crate::shared::map::replica::MapReplica;
use crate::shared::map::watchers::MapChange;
use crate::shared::options::Shareable;

/// How long to wait before an entry is read again that could not be, although Redis is there.
const RETRY: Duration = Duration::from_secs(1);

/// What an entry is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EntryState<V> {
    /// This.
    Present(Arc<V>),
    /// It is not there.
    Absent,
    /// It cannot be read here, for this reason.
    Unreadable(LoadError),
}

/// The changes of one entry; [`SharedMap::watch`](crate::SharedMap::watch) gives it. It is a
/// [`Stream`], too.
pub struct EntryWatch<V> {
    latest: BoxStream<'static, EntryState<V>>,
}

/// Which entries of a map change; [`SharedMap::watch_all`](crate::SharedMap::watch_all) gives it.
/// It is a [`Stream`], too.
pub struct MapWatch<K> {
    changes: BoxStream<'static, MapChange<K>>,
}

impl<V> EntryWatch<V> {
    /// Waits for the next change, and returns what the entry is then; `None` when the bus has
    /// ended. Whatever happened since the last call, this is the newest, and it is not told again.
    /// While Redis is away it waits.
    ///
    /// Nothing is lost where the future is dropped, as in `select!`.
    pub async fn changed(&mut self) -> Option<EntryState<V>> {
        self.latest.next().await
    }
}

impl<K> MapWatch<K> {
    /// Waits for the next change; `None` when the bus has ended. An entry that changed several
    /// times since it was told is told once.
    ///
    /// Nothing is lost where the future is dropped, as in `select!`.
    pub async fn changed(&mut self) -> Option<MapChange<K>> {
        self.changes.next().await
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
    // The mirror hears of changes for as long as it is there.
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
    let following = Following {
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
        latest: latest.boxed(),
    }
}

/// Somebody who watches one entry.
struct Following<K: Key, V: Shareable> {
    changed: watch::Receiver<()>,
    /// The mark of what was told last.
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
            self.changed.changed().await.ok()?;
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
