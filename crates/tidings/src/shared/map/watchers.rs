//! The registered watchers of a map, and the changes that each has not received yet. No I/O.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use foldhash::fast::RandomState;
use hashlink::LinkedHashSet;
use tokio::sync::{Notify, watch};

use crate::shared::map::cache::Changed;
use crate::task::mutex::Mutex;

/// The maximal number of pending keys of a map watcher. Beyond it the whole map has changed.
const MAX_PENDING: usize = 10_000;

/// A change of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapChange<K> {
    /// This entry was written or removed.
    Entry(K),
    /// All entries may have changed: the map was cleared, or a change was missed.
    All,
}

/// The watchers of entries and of the whole map.
pub(crate) struct Watchers<K> {
    entries: Mutex<HashMap<K, watch::Sender<()>>>,
    maps: Mutex<Vec<Weak<PendingChanges<K>>>>,
}

impl<K> Default for Watchers<K> {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            maps: Mutex::default(),
        }
    }
}

impl<K: Clone + Eq + Hash> Watchers<K> {
    pub(crate) fn notify(&self, changed: &Changed<K>) {
        let keys = match changed {
            Changed::Nothing => return,
            Changed::All => return self.notify_all(),
            Changed::Some(keys) => keys,
        };
        let entries = self.entries.lock();
        for watching in keys.iter().filter_map(|key| entries.get(key)) {
            watching.send_replace(());
        }
        drop(entries);
        for pending in self.maps() {
            pending.put(keys);
        }
    }

    /// Makes all entry watchers compare their entry again.
    pub(crate) fn recheck_entries(&self) {
        for watching in self.entries.lock().values() {
            watching.send_replace(());
        }
    }

    fn notify_all(&self) {
        self.recheck_entries();
        for pending in self.maps() {
            pending.put_all();
        }
    }

    fn maps(&self) -> Vec<Arc<PendingChanges<K>>> {
        let mut maps = self.maps.lock();
        maps.retain(|pending| pending.strong_count() > 0);
        maps.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn watch(&self, key: &K) -> watch::Receiver<()> {
        let mut entries = self.entries.lock();
        let watching = entries.entry(key.clone());
        watching
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe()
    }

    /// Removes the watch of this entry if its last watcher has ended.
    pub(crate) fn unwatch(&self, key: &K) {
        let mut entries = self.entries.lock();
        let is_watched = |watching: &watch::Sender<()>| watching.receiver_count() > 0;
        let is_over = entries.get(key).is_some_and(|entry| !is_watched(entry));
        let removed = is_over.then(|| entries.remove_entry(key));
        drop(entries);
        drop(removed);
    }

    pub(crate) fn watch_all(&self) -> Arc<PendingChanges<K>> {
        let pending = Arc::new(PendingChanges {
            state: Mutex::new(WatchersState {
                is_all: false,
                keys: LinkedHashSet::default(),
            }),
            grown: Notify::new(),
        });
        self.maps.lock().push(Arc::downgrade(&pending));
        pending
    }
}

/// The changes that a map watcher has not received yet.
pub(crate) struct PendingChanges<K> {
    state: Mutex<WatchersState<K>>,
    grown: Notify,
}

struct WatchersState<K> {
    is_all: bool,
    /// In the order of their first change.
    keys: LinkedHashSet<K, RandomState>,
}

impl<K: Clone + Eq + Hash> PendingChanges<K> {
    fn put(&self, keys: &[K]) {
        let mut state = self.state.lock();
        for key in keys {
            if !state.is_all && !state.keys.contains(key) {
                state.keys.insert(key.clone());
            }
        }
        let is_full = state.keys.len() > MAX_PENDING;
        drop(state);
        if is_full {
            return self.put_all();
        }
        self.grown.notify_one();
    }

    fn put_all(&self) {
        let mut state = self.state.lock();
        state.is_all = true;
        let former = std::mem::take(&mut state.keys);
        drop(state);
        drop(former);
        self.grown.notify_one();
    }

    fn take(&self) -> Option<MapChange<K>> {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.is_all) {
            return Some(MapChange::All);
        }
        state.keys.pop_front().map(MapChange::Entry)
    }

    pub(crate) async fn next(&self) -> MapChange<K> {
        loop {
            if let Some(change) = self.take() {
                return change;
            }
            self.grown.notified().await;
        }
    }
}
