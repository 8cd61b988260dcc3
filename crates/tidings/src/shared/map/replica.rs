//! The replica of one map: its cache, and its requests to Redis.

use std::any::type_name;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard};

use foldhash::fast::RandomState;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tidings_codec::Format;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::failure::Failure;
use crate::error::shared::LoadError;
use crate::keyspace::Keyspace;
use crate::keyspace::access::KeyspaceAccess;
use crate::keyspace::answer::{Answer, NotDone};
use crate::keyspace::map::Found;
use crate::keyspace::stamp::Stamp;
use crate::keyspace::value::{FoundStamp, StampKeys};
use crate::namespace::MapKeys;
use crate::observe::reports::Reports;
use crate::receive::control::ControlEvent;
use crate::shared::contained::{ContainedDrop, discard};
use crate::shared::map::cache::{Cache, Changed, Discarded};
use crate::shared::map::changed::MapChanged;
use crate::shared::map::entry::{
    Entry, Key, Reading, entry_name, field_of, fingerprint, read_entry,
};
use crate::shared::map::options::MapOptions;
use crate::shared::map::single_flight::Ticket;
use crate::shared::map::stamps::NOTIFICATION_DELAY;
use crate::shared::map::watchers::Watchers;
use crate::shared::options::Shareable;
use crate::shared::refresh::{Outcome, RefreshState};
use crate::shared::registry::ChangeListener;
use crate::shared::replica::Replica;
use crate::task::mutex::Mutex;

/// The number of locks that keys are distributed to. Updates of one key run one after the other.
pub(super) const KEY_LOCKS: usize = 16;

/// The number of undecodable entries that are remembered, to report each once.
const MAX_REPORTED: usize = 256;

pub(crate) struct MapReplica<K, V> {
    pub(crate) keys: MapKeys,
    pub(crate) format: Format,
    pub(crate) options: MapOptions,
    pub(crate) keyspace: Arc<KeyspaceAccess>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) refresh_state: RefreshState,
    pub(crate) watchers: Watchers<K>,
    cache: Mutex<Cache<K, V>>,
    /// Notified when a change notification was received.
    notified: watch::Sender<()>,
    pub(super) key_locks: [tokio::sync::Mutex<()>; KEY_LOCKS],
    /// Locked while an invalidation of the whole map is sent.
    pub(crate) clearing: tokio::sync::Mutex<()>,
    pub(super) hasher: RandomState,
    reported: Mutex<VecDeque<(String, Arc<str>)>>,
}

/// The parts of the bus that a map uses.
pub(crate) struct MapContext {
    pub(crate) keyspace: Arc<KeyspaceAccess>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) refresh_state: RefreshState,
}

impl<K: Key, V: Shareable> MapReplica<K, V> {
    pub(crate) fn new(keys: MapKeys, format: Format, options: MapOptions, bus: MapContext) -> Self {
        Self {
            keys,
            format,
            options,
            keyspace: bus.keyspace,
            reports: bus.reports,
            refresh_state: bus.refresh_state,
            watchers: Watchers::default(),
            cache: Mutex::new(Cache::new(options.capacity)),
            notified: watch::Sender::new(()),
            key_locks: Default::default(),
            clearing: tokio::sync::Mutex::default(),
            hasher: RandomState::default(),
            reported: Mutex::default(),
        }
    }

    pub(crate) fn peek(&self, key: &K) -> Option<Entry<V>> {
        self.lock().get(key).cloned()
    }

    /// Returns the cached entry, or reads it once for all tasks that want it at the same time.
    pub(crate) async fn read(self: &Arc<Self>, key: &K) -> Result<Entry<V>, LoadError> {
        if let Some(entry) = self.peek(key) {
            return Ok(entry);
        }
        let field = field_of(&self.keys.name, key)?;
        match self.reading(key, field) {
            Some(reading) => reading.await,
            None => Ok(Entry::absent()),
        }
    }

    /// `None` if the entry is invalidated and Redis may still hold it.
    fn reading(self: &Arc<Self>, key: &K, field: String) -> Option<Shared<Reading<V>>> {
        let mut cache = self.lock();
        if cache.invalid.contains(key) {
            return None;
        }
        let under_way = cache.reading.of(key).and_then(WeakShared::upgrade);
        if under_way.is_some() {
            return under_way;
        }
        let ticket = cache.reading.ticket();
        let read = InFlightRead {
            replica: Arc::clone(self),
            key: key.clone(),
            ticket,
        };
        let reading = read.read(field).boxed().shared();
        let joined = reading.downgrade();
        cache.reading.begin(
            key.clone(),
            ticket,
            joined.expect("the read has not been polled yet"),
        );
        Some(reading)
    }

    pub(crate) async fn len(&self) -> Result<u64, LoadError> {
        self.request(|keys| keys.map_len(&self.keys)).await
    }

    /// As [`entry`](Self::entry), from an answer.
    pub(crate) fn found(&self, field: &str, found: &Found, requested: Instant) -> Entry<V> {
        self.entry(field, found.entry.as_deref(), found.now, requested)
    }

    /// Decodes an entry that was requested at that moment, and reports it if it cannot be decoded.
    /// `now` is the time of Redis's clock.
    pub(super) fn entry(
        &self,
        field: &str,
        bytes: Option<&[u8]>,
        now: u64,
        requested: Instant,
    ) -> Entry<V> {
        let Some(bytes) = bytes else {
            return Entry::absent();
        };
        let name = entry_name(&self.keys.name, field);
        let entry = read_entry(&name, bytes, now, requested);
        if let Err(error) = &entry.value {
            self.report_once(name, bytes, error.clone());
        }
        entry
    }

    pub(super) fn report_once(&self, shared: String, bytes: &[u8], source: LoadError) {
        let report = (shared.clone(), fingerprint(bytes));
        let mut reported = self.reported.lock();
        if reported.contains(&report) {
            return;
        }
        if reported.len() == MAX_REPORTED {
            reported.pop_front();
        }
        reported.push_back(report);
        drop(reported);
        self.reports.failure(Failure::Shared { shared, source });
    }

    /// A foreign value lies under the stamp's key or that of the entries: empties the cache.
    fn stamp_unreadable(&self, words: &str) {
        let source = LoadError::Foreign {
            shared: self.keys.name.clone(),
            words: words.to_owned(),
        };
        let words = source.to_string();
        self.report_once(self.keys.name.clone(), words.as_bytes(), source);
        let changed = self.lock().reset();
        self.watchers.notify(&changed);
    }

    pub(crate) async fn request<T>(
        &self,
        operation: impl FnOnce(&dyn Keyspace) -> Answer<T>,
    ) -> Result<T, LoadError> {
        let answer = self.keyspace.request(operation).await;
        answer.map_err(|not_done| not_done.into_load_error(&self.keys.name))
    }

    pub(crate) fn lock(&self) -> Locked<'_, K, V> {
        Locked {
            cache: Some(self.cache.lock()),
            replica: self,
        }
    }
}

impl<K, V> MapReplica<K, V> {
    /// Drops a value of the application, and reports a panic.
    pub(crate) fn discard<T>(&self, value: T) {
        discard(value, &self.keys.name, &self.reports);
    }

    pub(super) fn contain<T>(&self, value: T) -> ContainedDrop<T> {
        ContainedDrop::new(value, &self.keys.name.as_str().into(), &self.reports)
    }

    /// Drops each entry by itself: two panics at once would abort the process.
    fn discard_all(&self, discarded: Discarded<K, V>) {
        for entry in discarded {
            self.discard(entry);
        }
    }
}

impl<K, V> Drop for MapReplica<K, V> {
    fn drop(&mut self) {
        let discarded = self.cache.lock().take_all();
        self.discard_all(discarded);
    }
}

/// The locked cache. Removed entries are dropped after it is unlocked.
pub(crate) struct Locked<'a, K, V> {
    cache: Option<MutexGuard<'a, Cache<K, V>>>,
    replica: &'a MapReplica<K, V>,
}

impl<K, V> Deref for Locked<'_, K, V> {
    type Target = Cache<K, V>;

    fn deref(&self) -> &Cache<K, V> {
        self.cache
            .as_ref()
            .expect("the cache is locked until this is dropped")
    }
}

impl<K, V> DerefMut for Locked<'_, K, V> {
    fn deref_mut(&mut self) -> &mut Cache<K, V> {
        self.cache
            .as_mut()
            .expect("the cache is locked until this is dropped")
    }
}

impl<K, V> Drop for Locked<'_, K, V> {
    fn drop(&mut self) {
        let discarded = self.take_discarded();
        self.cache = None;
        self.replica.discard_all(discarded);
    }
}

/// A read in progress.
struct InFlightRead<K: Key, V: Shareable> {
    replica: Arc<MapReplica<K, V>>,
    key: K,
    ticket: Ticket,
}

impl<K: Key, V: Shareable> InFlightRead<K, V> {
    async fn read(self, field: String) -> Result<Entry<V>, LoadError> {
        let (replica, requested) = (&self.replica, Instant::now());
        let found = replica
            .request(|keys| keys.entry(&replica.keys, &field))
            .await?;
        let entry = replica.found(&field, &found, requested);
        let mut cache = replica.lock();
        if cache.reading.end(&self.key, self.ticket) {
            cache.insert(self.key.clone(), entry.clone(), &found.stamp);
        } else {
            cache.note(&found.stamp);
        }
        drop(cache);
        Ok(entry)
    }
}

impl<K: Key, V: Shareable> Drop for InFlightRead<K, V> {
    fn drop(&mut self) {
        // A read that no task polls must not be joined.
        self.replica.lock().reading.end(&self.key, self.ticket);
    }
}

impl<K: Key, V: Shareable> Replica for MapReplica<K, V> {
    fn key(&self) -> &str {
        &self.keys.stamp
    }

    fn stamp_keys(&self) -> StampKeys {
        let has_entries = self.lock().has_entries();
        StampKeys {
            stamp: self.keys.stamp.clone(),
            entries: has_entries.then(|| self.keys.entries.clone()),
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        Some(self.lock().stamp().clone())
    }

    fn refresh_state(&self) -> &RefreshState {
        &self.refresh_state
    }

    fn confirm(&self) {
        let changed = self.lock().confirm();
        self.watchers.notify(&changed);
        self.watchers.recheck_entries();
    }

    fn refresh(self: Arc<Self>) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let state = self.lock().state();
            let keys = vec![self.stamp_keys()];
            let stamps = self.keyspace.request(|redis| redis.stamps(keys)).await;
            let found = stamps.and_then(|found| {
                let found = found.into_iter().next();
                found.unwrap_or_else(|| Ok(FoundStamp::default()))
            });
            let found = match found {
                Ok(found) => found,
                Err(NotDone::Foreign(words)) => {
                    self.stamp_unreadable(&words);
                    return Ok(());
                }
                Err(error) => return Err(error.into_reason()),
            };
            let mut notified = self.notified.subscribe();
            let had = notified.wait_for(|()| self.lock().had_since(&state, &found.stamp));
            let _ = timeout(NOTIFICATION_DELAY, had).await;
            let changed = self.lock().follow(&state, found);
            self.watchers.notify(&changed);
            self.watchers.recheck_entries();
            Ok(())
        })
    }

    fn became_unreachable(&self, since: std::time::Instant) {
        self.lock().stale_since.get_or_insert(since);
    }

    fn flush(self: Arc<Self>, deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _ = timeout_at(deadline, self.repeat()).await;
            self.give_up();
        })
    }
}

impl<K: Key, V: Shareable> ChangeListener<MapChanged> for MapReplica<K, V> {
    fn receive(&self, notification: MapChanged, _: &ControlEvent<'_>) {
        let key = notification.key.as_ref().map(|field| field.parse::<K>());
        let changed = match (notification.transition(), key) {
            (Some((now, was)), None) => self.lock().receive(None, now, &was),
            (Some((now, was)), Some(Ok(key))) => self.lock().receive(Some(&[key]), now, &was),
            // No entry can have an invalid key.
            (Some((now, was)), Some(Err(_))) => self.lock().receive(Some(&[]), now, &was),
            (None, Some(Err(_))) => return self.refresh_state.request_refresh(),
            (None, Some(Ok(key))) => {
                // The sender does not name the stamp before the change.
                self.refresh_state.request_refresh();
                self.lock().forget(&key);
                Changed::Some(vec![key])
            }
            (None, None) => {
                self.refresh_state.request_refresh();
                self.lock().forget_all();
                Changed::All
            }
        };
        self.watchers.notify(&changed);
        self.notified.send_replace(());
    }

    fn type_name(&self) -> &'static str {
        type_name::<(K, V)>()
    }
}
