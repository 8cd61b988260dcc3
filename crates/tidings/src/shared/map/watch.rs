//! Streams of the changes of a map.

use std::sync::Arc;

use futures_util::stream::unfold;
use tokio::sync::{Notify, watch};
use tokio::time::{Duration, sleep};

use crate::error::shared::LoadError;
use crate::shared::map::entry::{Entry, Key};
use crate::shared::map::replica::MapReplica;
use crate::shared::map::watchers::MapChange;
use crate::shared::options::Shareable;
use crate::task::watch::Watch;

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

/// A [`Watch`] of one entry, from [`SharedMap::watch`](crate::SharedMap::watch). It returns no state
/// twice in a row. While Redis is unreachable, it waits.
pub type EntryWatch<V> = Watch<EntryState<V>>;

/// A [`Watch`] of a map, from [`SharedMap::watch_all`](crate::SharedMap::watch_all). For a slow
/// reader, several changes of one entry become one.
pub type MapWatch<K> = Watch<MapChange<K>>;

pub(crate) fn watch_all<K: Key, V: Shareable>(replica: &Arc<MapReplica<K, V>>) -> MapWatch<K> {
    let pending = replica.watchers.watch_all();
    // The replica receives changes only while it exists.
    let watching = (pending, Arc::clone(replica));
    Watch::new(unfold(watching, async |watching| {
        let (pending, replica) = &watching;
        let change = tokio::select! {
            biased;
            change = pending.next() => change,
            () = replica.keyspace.ended() => return None,
        };
        Some((change, watching))
    }))
}

pub(crate) fn watch_entry<K: Key, V: Shareable>(
    replica: &Arc<MapReplica<K, V>>,
    key: &K,
) -> EntryWatch<V> {
    let look = Arc::new(Notify::new());
    let following = Following {
        look: Arc::clone(&look),
        changed: replica.watchers.watch(key),
        known: replica.peek(key).map(|entry| identity(&entry)),
        replica: Arc::clone(replica),
        key: key.clone(),
    };
    let latest = unfold(following, async |mut following| {
        let latest = following.next().await?;
        Some((latest, following))
    });
    Watch::of_state(look, latest)
}

/// The state of a stream of one entry.
struct Following<K: Key, V: Shareable> {
    look: Arc<Notify>,
    changed: watch::Receiver<()>,
    /// The [`identity`] of the state that was returned last.
    known: Option<Arc<str>>,
    replica: Arc<MapReplica<K, V>>,
    key: K,
}

impl<K: Key, V: Shareable> Following<K, V> {
    async fn next(&mut self) -> Option<EntryState<V>> {
        let keyspace = Arc::clone(&self.replica.keyspace);
        tokio::select! {
            biased;
            latest = keyspace.in_runtime(self.newest()) => latest,
            () = keyspace.ended() => None,
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
            let (identity, latest) = self.read().await;
            if self.known.as_ref() == Some(&identity) {
                continue;
            }
            self.known = Some(identity);
            return Some(latest);
        }
    }

    /// Reads the entry, as soon as that is possible.
    async fn read(&mut self) -> (Arc<str>, EntryState<V>) {
        loop {
            // What changes from here on is another change.
            let mut availability = self.replica.keyspace.watch();
            match self.replica.read(&self.key).await {
                Ok(entry) => return (identity(&entry), EntryState::of(entry.value)),
                Err(LoadError::Unread { .. }) => {
                    tokio::select! {
                        _ = availability.changed() => {}
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

/// Returns the nonce of the entry, and the same for every absent one: negative entries have nonces,
/// too.
fn identity<V>(entry: &Entry<V>) -> Arc<str> {
    match entry.value {
        Ok(None) => "".into(),
        _ => Arc::clone(&entry.nonce),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::FutureExt;

    use super::*;
    use crate::{Bus, SharedMap};

    #[tokio::test]
    async fn a_negative_entry_after_a_removal_is_no_other_state() {
        let bus = Bus::builder("memory:negative-after-removal");
        let bus = bus.start().await.unwrap();
        let names: SharedMap<u64, String> = bus.map("names").unwrap();
        names.set(&7, &"Ada".to_owned()).await.unwrap();
        let mut changes = names.watch(&7);
        names.remove(&7).await.unwrap();
        assert!(matches!(changes.changed().await, Some(EntryState::Absent)));

        let loader = || async { Ok::<_, Infallible>(None) };
        let loaded = names.get_or_load_optional(&7, loader).await.unwrap();

        assert_eq!(loaded, None);
        assert!(changes.changed().now_or_never().is_none());
        names.set(&7, &"Bob".to_owned()).await.unwrap();
        let next = changes.changed().await.unwrap();
        assert!(matches!(next, EntryState::Present(name) if *name == "Bob"));
    }
}
