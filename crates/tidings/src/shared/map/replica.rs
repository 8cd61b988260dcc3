//! What a process has of a map, and how it asks Redis for more.

use std::any::type_name;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tidings_codec::Format;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::failure::Failure;
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::error::shared::{LoadError, StoreError};
use crate::keyspace::Keyspace;
use crate::keyspace::access::{KeyspaceAccess, NotDone};
use crate::keyspace::answer::{Answer, KeyError};
use crate::keyspace::map::{Found, Moved, NewEntry, Only, Written};
use crate::keyspace::stamp::{Stamp, nonce};
use crate::namespace::MapKeys;
use crate::observe::reports::Reports;
use crate::receive::control::ControlEvent;
use crate::shared::contained::{ContainedDrop, discard};
use crate::shared::map::cache::{Cache, Changed, Gone, ON_ITS_WAY};
use crate::shared::map::caching::MapOptions;
use crate::shared::map::changed::MapChanged;
use crate::shared::map::entry::Key;
use crate::shared::map::entry::{
    Entry, Reading, entry_name, field_of, key_of, mark_of, read_entry,
};
use crate::shared::map::invalidations::Turn;
use crate::shared::map::single_flight::Ticket;
use crate::shared::map::watchers::Watchers;
use crate::shared::reconciler::{Replica, in_time};
use crate::shared::refresh::{ConnectionEpoch, Outcome, RefreshState};
use crate::shared::registry::ChangeListener;
use crate::shared::shareable::Shareable;
use crate::shared::write::{ATTEMPTS, encoded, give_way};
use crate::task::FOREVER;

/// How many updates of different keys may be under way at once; those of one key take turns.
const TURNS: usize = 16;

/// How many entries that cannot be read are remembered, to report each once.
const COMPLAINTS: usize = 256;

pub(crate) struct MapReplica<K, V> {
    pub(crate) keys: MapKeys,
    pub(crate) format: Format,
    pub(crate) caching: MapOptions,
    pub(crate) keyspace: Arc<KeyspaceAccess>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) runtime: Handle,
    pub(crate) refresh_state: RefreshState,
    pub(crate) watchers: Watchers<K>,
    cache: Mutex<Cache<K, V>>,
    /// A change was heard of.
    received: watch::Sender<()>,
    turns: [tokio::sync::Mutex<()>; TURNS],
    /// Held while an invalidation of the whole map is sent.
    pub(crate) clearing: tokio::sync::Mutex<()>,
    hasher: RandomState,
    complaints: Mutex<VecDeque<(String, Arc<str>)>>,
}

/// What a map needs of its bus.
pub(crate) struct MapContext {
    pub(crate) keyspace: Arc<KeyspaceAccess>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) runtime: Handle,
    pub(crate) refresh_state: RefreshState,
}

impl<K: Key, V: Shareable> MapReplica<K, V> {
    pub(crate) fn new(keys: MapKeys, format: Format, caching: MapOptions, bus: MapContext) -> Self {
        Self {
            keys,
            format,
            caching,
            keyspace: bus.keyspace,
            reports: bus.reports,
            runtime: bus.runtime,
            refresh_state: bus.refresh_state,
            watchers: Watchers::default(),
            cache: Mutex::new(Cache::new(caching.capacity)),
            received: watch::Sender::new(()),
            turns: Default::default(),
            clearing: tokio::sync::Mutex::default(),
            hasher: RandomState::default(),
            complaints: Mutex::default(),
        }
    }

    pub(crate) fn peek(&self, key: &K) -> Option<Entry<V>> {
        self.lock().get(key).cloned()
    }

    /// What is here, or else one read for all who ask at once.
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

    /// Nothing where Redis may still hold what was invalidated.
    fn reading(self: &Arc<Self>, key: &K, field: String) -> Option<Shared<Reading<V>>> {
        let mut cache = self.lock();
        if cache.invalid.has(key) {
            return None;
        }
        let under_way = cache.reading.of(key).and_then(WeakShared::upgrade);
        if under_way.is_some() {
            return under_way;
        }
        let ticket = cache.reading.ticket();
        let landing = Landing {
            replica: Arc::clone(self),
            key: key.clone(),
            ticket,
        };
        let reading = landing.read(field).boxed().shared();
        let joined = reading.downgrade();
        cache
            .reading
            .begin(key.clone(), ticket, joined.expect("it has not ended yet"));
        Some(reading)
    }

    pub(crate) async fn set(&self, key: &K, value: &V) -> Result<(), StoreError> {
        let field = self.field(key)?;
        let new = New {
            encoded: Some(self.encoded(&field, value)?),
            ttl: self.caching.set_ttl(),
            only: Only::Always,
            since: self.lock().invalid.last(),
        };
        // An invalidation that is being repeated must not reach Redis after this.
        let is_invalid = self.lock().invalid.has(key);
        let _turn = if is_invalid {
            Some(self.turn_in_time(key).await?)
        } else {
            None
        };
        self.write(key, &field, new).await.map(|_| ())
    }

    pub(crate) async fn update(
        self: &Arc<Self>,
        key: &K,
        mut new: impl FnMut(Option<&V>) -> V,
    ) -> Result<Arc<V>, StoreError> {
        let field = self.field(key)?;
        let deadline = Instant::now() + self.keyspace.patience().min(FOREVER);
        let since = self.lock().invalid.last();
        let _turn = self.turn_in_time(key).await?;
        if self.lock().invalid.has(key) {
            // What Redis may still hold is no base for a new entry.
            self.remove(key).await?;
        }
        let read = self.read(key).await;
        let mut old = self.hold(read.map_err(|error| self.not_read(error))?);
        for attempts in 1.. {
            let (payload, value) = {
                let old = old.value.as_ref();
                let old = old.map_err(|error| self.not_read(error.clone()))?;
                let new = new(old.as_deref());
                let encoded = self.encoded(&field, &new);
                self.discard(new);
                let (payload, value) = encoded?;
                (payload, self.hold(value))
            };
            let new = New {
                encoded: Some((payload, Arc::clone(&*value))),
                ttl: self.caching.set_ttl(),
                only: Only::IfIs(old.nonce.to_string()),
                since,
            };
            match self.write(key, &field, new).await? {
                None => return Ok(Arc::clone(&*value)),
                Some(found) => old = self.hold(found),
            }
            if attempts >= ATTEMPTS || Instant::now() >= deadline {
                return Err(StoreError::Contended {
                    shared: entry_name(&self.keys.name, &field),
                    attempts,
                });
            }
            give_way(attempts).await;
        }
        unreachable!("attempts have a bound")
    }

    /// What is there instead, where the condition does not hold.
    pub(crate) async fn write(
        &self,
        key: &K,
        field: &str,
        new: New<V>,
    ) -> Result<Option<Entry<V>>, StoreError> {
        let (nonce, since) = (nonce(), (self.refresh_state.epoch(), new.since));
        let asked = Instant::now();
        let (payload, value) = new.encoded.unzip();
        let ttl = new.ttl;
        let value = value.map(|value| self.hold(value));
        let new = NewEntry {
            field: field.to_owned(),
            format: self.format,
            payload,
            ttl,
            nonce: nonce.clone(),
            only: new.only,
        };
        let written = self.change(Some(key), |keys| keys.write_entry(&self.keys, new));
        match written.await? {
            Written::Not(found) => {
                self.lock().forget(key);
                Ok(Some(self.found(field, &found, asked)))
            }
            Written::Done(moved) => {
                let entry = Entry {
                    nonce: nonce.as_str().into(),
                    value: Ok(value.as_deref().cloned()),
                    until: ttl.map(|ttl| asked + ttl),
                };
                self.wrote(since, key, entry, moved, nonce);
                Ok(None)
            }
        }
    }

    pub(crate) async fn len(&self) -> Result<u64, LoadError> {
        self.ask(|keys| keys.map_len(&self.keys)).await
    }

    /// Every entry that can be read, a step at a time.
    pub(crate) async fn for_each(&self, mut take: impl FnMut(K, Arc<V>)) -> Result<(), LoadError> {
        let mut from = 0;
        loop {
            let asked = Instant::now();
            let page = self.ask(|keys| keys.page(&self.keys, from)).await?;
            for (field, bytes) in page.entries {
                match key_of(&self.keys.name, &field) {
                    Ok(key) if self.lock().invalid.has(&key) => {}
                    Ok(key) => {
                        let field = String::from_utf8_lossy(&field);
                        let entry = self.entry(&field, Some(&bytes), page.now, asked);
                        if let Ok(Some(value)) = entry.value {
                            take(key, value);
                        }
                    }
                    Err(error) => self.complain(&String::from_utf8_lossy(&field), &field, error),
                }
            }
            if page.next == 0 {
                return Ok(());
            }
            from = page.next;
        }
    }

    /// As [`entry`](Self::entry), of what was found.
    pub(crate) fn found(&self, field: &str, found: &Found, asked: Instant) -> Entry<V> {
        self.entry(field, found.entry.as_deref(), found.now, asked)
    }

    /// The entry that Redis, which was asked at that moment, had at this time of its clock. It is
    /// reported where it cannot be read.
    fn entry(&self, field: &str, bytes: Option<&[u8]>, now: u64, asked: Instant) -> Entry<V> {
        let Some(bytes) = bytes else {
            return Entry::absent();
        };
        let entry = read_entry(&entry_name(&self.keys.name, field), bytes, now, asked);
        if let Err(error) = &entry.value {
            self.complain(field, bytes, error.clone());
        }
        entry
    }

    fn complain(&self, field: &str, bytes: &[u8], source: LoadError) {
        self.complain_of(entry_name(&self.keys.name, field), bytes, source);
    }

    fn complain_of(&self, shared: String, bytes: &[u8], source: LoadError) {
        let complaint = (shared.clone(), mark_of(bytes));
        let mut complaints = lock(&self.complaints);
        if complaints.contains(&complaint) {
            return;
        }
        if complaints.len() == COMPLAINTS {
            complaints.pop_front();
        }
        complaints.push_back(complaint);
        drop(complaints);
        self.reports.failure(Failure::Shared { shared, source });
    }

    /// What lies there instead of a stamp agrees with nothing that is here.
    fn lose(&self, words: String) {
        let source = LoadError::Foreign {
            shared: self.keys.name.clone(),
            words,
        };
        let words = source.to_string();
        self.complain_of(self.keys.name.clone(), words.as_bytes(), source);
        let changed = self.lock().lose();
        self.watchers.notify(&changed);
    }

    /// Redis accepted a change of this entry that was begun at that time.
    pub(crate) fn wrote(
        &self,
        (epoch, since): (ConnectionEpoch, Turn),
        key: &K,
        entry: Entry<V>,
        Moved { version, was }: Moved,
        nonce: String,
    ) {
        let is_same_epoch = self.refresh_state.epoch() == epoch;
        let mut cache = self.lock();
        cache.invalid.took(key, since);
        if !is_same_epoch {
            // It may be from a server that is the master no more.
            return cache.forget(key);
        }
        let now = Stamp { version, nonce };
        let changed = cache.wrote(key, entry, &now, &was);
        drop(cache);
        self.watchers.notify(&changed);
    }

    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(&dyn Keyspace) -> Answer<T>,
    ) -> Result<T, LoadError> {
        let answer = self.keyspace.ask(question).await;
        answer.map_err(|undone| self.unread(undone))
    }

    /// Asks for a change of this entry, or of all.
    pub(crate) async fn change<T>(
        &self,
        key: Option<&K>,
        question: impl FnOnce(&dyn Keyspace) -> Answer<T>,
    ) -> Result<T, StoreError> {
        let answer = self.keyspace.ask(question).await;
        answer.map_err(|undone| {
            let error = self.unchanged(undone);
            if error.is_unknown() {
                // Whoever asks next sees what became of it.
                if let Some(key) = key {
                    self.lock().forget(key);
                }
            }
            error
        })
    }

    fn unread(&self, undone: NotDone) -> LoadError {
        let shared = self.keys.name.clone();
        match undone {
            NotDone::Foreign(words) => LoadError::Foreign {
                shared,
                words: words.to_string(),
            },
            NotDone::Overflow => LoadError::Foreign {
                shared,
                words: "its version is too great".to_owned(),
            },
            NotDone::Unconfirmed(Unconfirmed::NotSent(reason) | Unconfirmed::Unknown(reason)) => {
                LoadError::Unread { shared, reason }
            }
        }
    }

    fn unchanged(&self, undone: NotDone) -> StoreError {
        let shared = self.keys.name.clone();
        match undone {
            NotDone::Unconfirmed(why) => StoreError::Unconfirmed { shared, why },
            other => StoreError::Load {
                shared,
                source: self.unread(other),
            },
        }
    }

    /// The same, where a change begins with a read: nothing was changed.
    fn not_read(&self, source: LoadError) -> StoreError {
        let shared = self.keys.name.clone();
        match source {
            LoadError::Unread { reason, .. } => StoreError::Unconfirmed {
                shared,
                why: Unconfirmed::NotSent(reason),
            },
            source => StoreError::Load { shared, source },
        }
    }

    pub(crate) fn field(&self, key: &K) -> Result<String, StoreError> {
        field_of(&self.keys.name, key).map_err(|error| self.not_read(error))
    }

    pub(crate) fn encoded(&self, field: &str, value: &V) -> Result<(Vec<u8>, Arc<V>), StoreError> {
        let name = entry_name(&self.keys.name, field);
        let (payload, value) = encoded(&name, self.format, value)?;
        Ok((payload, Arc::new(value)))
    }

    /// The turn of a key, as soon as it comes; as late as a send may take.
    async fn turn_in_time(&self, key: &K) -> Result<tokio::sync::MutexGuard<'_, ()>, StoreError> {
        let patience = self.keyspace.patience();
        let turn = async { timeout(patience, self.turn(key)).await };
        let turn = self.keyspace.in_runtime(turn).await;
        turn.unwrap_or_else(|_| {
            Err(self.unchanged(NotDone::Unconfirmed(Unconfirmed::NotSent(
                SendFailure::TimedOut(patience),
            ))))
        })
    }

    pub(crate) fn turn_of(&self, key: &K) -> &tokio::sync::Mutex<()> {
        let index = self.hasher.hash_one(key) % TURNS as u64;
        &self.turns[usize::try_from(index).unwrap_or(0)]
    }

    pub(crate) fn lock(&self) -> Locked<'_, K, V> {
        Locked {
            cache: Some(lock(&self.cache)),
            replica: self,
        }
    }
}

impl<K, V> MapReplica<K, V> {
    /// Drops what is the application's, here or wherever this is its last holder.
    pub(crate) fn discard<T>(&self, value: T) {
        discard(value, &self.keys.name, &self.reports);
    }

    fn hold<T>(&self, value: T) -> ContainedDrop<T> {
        ContainedDrop::new(value, &self.keys.name.as_str().into(), &self.reports)
    }

    /// Each by itself: where two panic at once, the process ends.
    fn discard_all(&self, gone: Gone<K, V>) {
        for entry in gone {
            self.discard(entry);
        }
    }
}

impl<K, V> Drop for MapReplica<K, V> {
    fn drop(&mut self) {
        let gone = lock(&self.cache).take_all();
        self.discard_all(gone);
    }
}

/// An entry that is to be written.
pub(crate) struct New<V> {
    /// The payload, and the value as everybody will read it; `None` for a negative entry.
    pub(crate) encoded: Option<(Vec<u8>, Arc<V>)>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) only: Only,
    /// The newest invalidation when it was begun. Later ones hold for this entry, too.
    pub(crate) since: Turn,
}

/// The cache while it is locked. What goes from it is dropped after that.
pub(crate) struct Locked<'a, K, V> {
    cache: Option<MutexGuard<'a, Cache<K, V>>>,
    replica: &'a MapReplica<K, V>,
}

impl<K, V> Deref for Locked<'_, K, V> {
    type Target = Cache<K, V>;

    fn deref(&self) -> &Cache<K, V> {
        self.cache
            .as_ref()
            .expect("it is locked until it is dropped")
    }
}

impl<K, V> DerefMut for Locked<'_, K, V> {
    fn deref_mut(&mut self) -> &mut Cache<K, V> {
        self.cache
            .as_mut()
            .expect("it is locked until it is dropped")
    }
}

impl<K, V> Drop for Locked<'_, K, V> {
    fn drop(&mut self) {
        let gone = self.take_gone();
        self.cache = None;
        self.replica.discard_all(gone);
    }
}

/// A read that is under way.
struct Landing<K: Key, V: Shareable> {
    replica: Arc<MapReplica<K, V>>,
    key: K,
    ticket: Ticket,
}

impl<K: Key, V: Shareable> Landing<K, V> {
    async fn read(self, field: String) -> Result<Entry<V>, LoadError> {
        let (replica, asked) = (&self.replica, Instant::now());
        let found = replica
            .ask(|keys| keys.entry(&replica.keys, &field))
            .await?;
        let entry = replica.found(&field, &found, asked);
        let mut cache = replica.lock();
        if cache.reading.end(&self.key, self.ticket) {
            cache.keep(self.key.clone(), entry.clone(), &found.stamp);
        }
        drop(cache);
        Ok(entry)
    }
}

impl<K: Key, V: Shareable> Drop for Landing<K, V> {
    fn drop(&mut self) {
        // Where nobody waits any more, nobody must join.
        self.replica.lock().reading.end(&self.key, self.ticket);
    }
}

impl<K: Key, V: Shareable> Replica for MapReplica<K, V> {
    fn key(&self) -> &str {
        &self.keys.stamp
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
        self.watchers.look_again();
    }

    fn refresh(
        self: Arc<Self>,
        keyspace: Arc<dyn Keyspace>,
        patience: Duration,
    ) -> BoxFuture<'static, Outcome> {
        let asked = self.lock().asked();
        let stamps = keyspace.stamps(vec![self.keys.stamp.clone()]);
        Box::pin(async move {
            let read = async {
                let stamps = stamps.await.map_err(KeyError::into_reason)?;
                match stamps.into_iter().next() {
                    Some(Err(KeyError::Foreign(words))) => Ok(Err(words)),
                    Some(stamp) => stamp.map(Ok).map_err(KeyError::into_reason),
                    None => Ok(Ok(Stamp::default())),
                }
            };
            let stamp = match in_time(patience, read).await? {
                Ok(stamp) => stamp,
                Err(words) => {
                    self.lose(words);
                    return Ok(());
                }
            };
            let mut received = self.received.subscribe();
            let had = received.wait_for(|()| self.lock().had_since(&asked, &stamp));
            let _ = timeout(ON_ITS_WAY, had).await;
            let changed = self.lock().follow(&asked, stamp);
            self.watchers.notify(&changed);
            self.watchers.look_again();
            Ok(())
        })
    }

    fn became_unreachable(&self, since: std::time::Instant) {
        self.lock().stale_since.get_or_insert(since);
    }

    fn settle(self: Arc<Self>, deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _ = timeout_at(deadline, self.repeat()).await;
            self.give_up();
        })
    }
}

impl<K: Key, V: Shareable> ChangeListener<MapChanged> for MapReplica<K, V> {
    fn receive(&self, announced: MapChanged, _: &ControlEvent<'_>) {
        let key = announced.key.as_ref().map(|field| field.parse::<K>());
        let changed = match (announced.moved(), key) {
            (Some((now, was)), None) => self.lock().receive(None, now, &was),
            (Some((now, was)), Some(Ok(key))) => self.lock().receive(Some(&[key]), now, &was),
            // Nothing here can be of a key that is none.
            (Some((now, was)), Some(Err(_))) => self.lock().receive(Some(&[]), now, &was),
            (None, Some(Err(_))) => return self.refresh_state.behind(),
            (None, Some(Ok(key))) => {
                // Whoever changed it does not say what the map was before.
                self.refresh_state.behind();
                self.lock().forget(&key);
                Changed::Some(vec![key])
            }
            (None, None) => {
                self.refresh_state.behind();
                self.lock().forget_all();
                Changed::All
            }
        };
        self.watchers.notify(&changed);
        self.received.send_replace(());
    }

    fn type_name(&self) -> &'static str {
        type_name::<(K, V)>()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, V> std::fmt::Debug for MapReplica<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MapReplica")
            .field("map", &self.keys.name)
            .field("value", &type_name::<V>())
            .finish_non_exhaustive()
    }
}
