//! The registered watchers of a map, and what each has not been told yet. No I/O.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, watch};

use crate::shared::map::cache::Changed;

/// How many changed keys wait for one who watches a whole map. Beyond that all of it has changed.
const WAITING: usize = 10_000;

/// What changed in a map.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapChange<K> {
    /// This entry was written or taken out.
    Entry(K),
    /// All of them may have changed: the map was cleared, or something was missed.
    All,
}

/// Who is told of which changes.
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
        let entries = lock(&self.entries);
        for watching in keys.iter().filter_map(|key| entries.get(key)) {
            watching.send_replace(());
        }
        drop(entries);
        for pending in self.maps() {
            pending.put(keys);
        }
    }

    /// Lets those who watch an entry see whether it is still what they know.
    pub(crate) fn look_again(&self) {
        for watching in lock(&self.entries).values() {
            watching.send_replace(());
        }
    }

    fn notify_all(&self) {
        self.look_again();
        for pending in self.maps() {
            pending.put_all();
        }
    }

    fn maps(&self) -> Vec<Arc<PendingChanges<K>>> {
        let mut maps = lock(&self.maps);
        maps.retain(|pending| pending.strong_count() > 0);
        maps.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn watch(&self, key: &K) -> watch::Receiver<()> {
        let mut entries = lock(&self.entries);
        let watching = entries.entry(key.clone());
        watching
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe()
    }

    /// One who watched this entry has ended.
    pub(crate) fn unwatch(&self, key: &K) {
        let mut entries = lock(&self.entries);
        let is_watched = |watching: &watch::Sender<()>| watching.receiver_count() > 0;
        let is_over = entries.get(key).is_some_and(|entry| !is_watched(entry));
        let gone = is_over.then(|| entries.remove_entry(key));
        drop(entries);
        drop(gone);
    }

    pub(crate) fn watch_all(&self) -> Arc<PendingChanges<K>> {
        let pending = Arc::new(PendingChanges {
            inside: Mutex::default(),
            grown: Notify::new(),
        });
        lock(&self.maps).push(Arc::downgrade(&pending));
        pending
    }
}

/// The changes that one who watches a whole map has not been told of yet.
pub(crate) struct PendingChanges<K> {
    inside: Mutex<WatchersState<K>>,
    grown: Notify,
}

struct WatchersState<K> {
    is_all: bool,
    keys: HashSet<K>,
    order: VecDeque<K>,
}

impl<K> Default for WatchersState<K> {
    fn default() -> Self {
        Self {
            is_all: false,
            keys: HashSet::new(),
            order: VecDeque::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> PendingChanges<K> {
    fn put(&self, keys: &[K]) {
        let mut inside = lock(&self.inside);
        for key in keys.iter().cloned() {
            if !inside.is_all && inside.keys.insert(key.clone()) {
                inside.order.push_back(key);
            }
        }
        let is_full = inside.keys.len() > WAITING;
        drop(inside);
        if is_full {
            return self.put_all();
        }
        self.grown.notify_one();
    }

    fn put_all(&self) {
        let all = WatchersState {
            is_all: true,
            ..WatchersState::default()
        };
        let former = std::mem::replace(&mut *lock(&self.inside), all);
        drop(former);
        self.grown.notify_one();
    }

    fn take(&self) -> Option<MapChange<K>> {
        let mut inside = lock(&self.inside);
        if std::mem::take(&mut inside.is_all) {
            return Some(MapChange::All);
        }
        let key = inside.order.pop_front()?;
        inside.keys.remove(&key);
        Some(MapChange::Entry(key))
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
