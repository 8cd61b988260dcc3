//! What a process has of a map, and how it asks Redis for more.

use std::any::type_name;
use std::collections::VecDeque;
use std::fmt::Display;
use std::hash::{BuildHasher, Hash};
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tidings_codec::Format;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::announced::Announced;
use super::cache::{Cache, Entry, ON_ITS_WAY, Reading, Told};
use super::entry::{entry_name, field_of, key_of, mark_of, read_entry};
use super::flights::Ticket;
use super::watch::Watchers;
use crate::builder::FOREVER;
use crate::failure::{Failure, Fate, Reason};
use crate::kept::{Kept, Undone};
use crate::notices::Notice;
use crate::reports::Reports;
use crate::shared::care::{Care, Era, Outcome};
use crate::shared::keeper::{Copy, Stamp, in_time, nonce};
use crate::shared::known::Announceable;
use crate::shared::store::{ATTEMPTS, encoded, give_way};
use crate::shared::{LoadError, Shareable, StoreError};
use crate::transport::keyspace::maps::{Found, MapKeys, Moved, NewEntry, Only, Written};
use crate::transport::keyspace::{Answer, KeyError, Keyspace};

/// How many updates of different keys may be under way at once; those of one key take turns.
const TURNS: usize = 16;

/// How many entries that cannot be read are remembered, to report each once.
const COMPLAINTS: usize = 256;

/// What a map's keys can do.
pub(crate) trait Key: Display + FromStr + Eq + Hash + Clone + Send + Sync + 'static {}
impl<K: Display + FromStr + Eq + Hash + Clone + Send + Sync + 'static> Key for K {}

pub(crate) struct Mirror<K, V> {
    pub(crate) keys: MapKeys,
    pub(crate) format: Format,
    pub(crate) kept: Arc<Kept>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) care: Care,
    pub(crate) watchers: Watchers<K>,
    cache: Mutex<Cache<K, V>>,
    /// A change was heard of.
    heard: watch::Sender<()>,
    turns: [tokio::sync::Mutex<()>; TURNS],
    turn_of: RandomState,
    complaints: Mutex<VecDeque<(String, Arc<str>)>>,
}

impl<K: Key, V: Shareable> Mirror<K, V> {
    pub(crate) fn new(
        keys: MapKeys,
        format: Format,
        capacity: usize,
        kept: Arc<Kept>,
        reports: Arc<Reports>,
        care: Care,
    ) -> Self {
        Self {
            keys,
            format,
            kept,
            reports,
            care,
            watchers: Watchers::default(),
            cache: Mutex::new(Cache::new(capacity)),
            heard: watch::Sender::new(()),
            turns: Default::default(),
            turn_of: RandomState::default(),
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
        self.reading(key, field).await
    }

    fn reading(self: &Arc<Self>, key: &K, field: String) -> Shared<Reading<V>> {
        let mut cache = self.lock();
        let under_way = cache.reading.of(key).and_then(WeakShared::upgrade);
        if let Some(reading) = under_way {
            return reading;
        }
        let ticket = cache.reading.ticket();
        let landing = Landing {
            mirror: Arc::clone(self),
            key: key.clone(),
            ticket,
        };
        let reading = landing.read(field).boxed().shared();
        let joined = reading.downgrade();
        cache
            .reading
            .begin(key.clone(), ticket, joined.expect("it has not ended yet"));
        reading
    }

    pub(crate) async fn set(&self, key: &K, value: &V) -> Result<(), StoreError> {
        let field = self.field(key)?;
        let (payload, value) = self.encoded(&field, value)?;
        self.write(key, &field, &payload, value, Only::Always)
            .await
            .map(|_| ())
    }

    pub(crate) async fn update(
        self: &Arc<Self>,
        key: &K,
        mut new: impl FnMut(Option<&V>) -> V,
    ) -> Result<Arc<V>, StoreError> {
        let field = self.field(key)?;
        let patience = self.kept.patience();
        let deadline = Instant::now() + patience.min(FOREVER);
        let Ok(_turn) = timeout_at(deadline, self.turn(key).lock()).await else {
            return Err(self.unchanged(Undone::Fate(Fate::NotSent(Reason::TimedOut(patience)))));
        };
        let mut old = self.read(key).await.map_err(|error| self.not_read(error))?;
        for attempts in 1.. {
            let (payload, value) = {
                let old = old.value.as_ref();
                let old = old.map_err(|error| self.not_read(error.clone()))?;
                self.encoded(&field, &new(old.as_deref()))?
            };
            let only = Only::IfIs(&old.nonce);
            match self
                .write(key, &field, &payload, Arc::clone(&value), only)
                .await?
            {
                None => return Ok(value),
                Some(found) => old = self.entry(&field, found.entry.as_deref()),
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
        payload: &[u8],
        value: Arc<V>,
        only: Only<'_>,
    ) -> Result<Option<Found>, StoreError> {
        let (nonce, era) = (nonce(), self.care.era());
        let new = NewEntry {
            field,
            format: self.format,
            payload,
            nonce: &nonce,
            only,
        };
        let written = self.change(Some(key), |keys| keys.write_entry(&self.keys, new));
        match written.await? {
            Written::Not(found) => {
                self.lock().forget(key);
                Ok(Some(found))
            }
            Written::Done(moved) => {
                let entry = Entry {
                    nonce: nonce.as_str().into(),
                    value: Ok(Some(value)),
                };
                self.wrote(era, key, entry, moved, nonce);
                Ok(None)
            }
        }
    }

    pub(crate) async fn remove(&self, key: &K) -> Result<(), StoreError> {
        let field = self.field(key)?;
        let (nonce, era) = (nonce(), self.care.era());
        let removed = self.change(Some(key), |keys| {
            keys.remove_entry(&self.keys, &field, &nonce)
        });
        let moved = removed.await?;
        self.wrote(era, key, Entry::absent(), moved, nonce);
        Ok(())
    }

    pub(crate) async fn clear(&self) -> Result<(), StoreError> {
        let nonce = nonce();
        let Moved { version, was } = self
            .change(None, |keys| keys.clear_map(&self.keys, &nonce))
            .await?;
        let told = self.lock().hear(None, Stamp { version, nonce }, &was);
        self.watchers.tell(&told);
        Ok(())
    }

    pub(crate) async fn len(&self) -> Result<u64, LoadError> {
        self.ask(|keys| keys.map_len(&self.keys)).await
    }

    /// Every entry that can be read, a step at a time.
    pub(crate) async fn for_each(&self, mut take: impl FnMut(K, Arc<V>)) -> Result<(), LoadError> {
        let mut from = 0;
        loop {
            let (next, entries) = self.ask(|keys| keys.page(&self.keys, from)).await?;
            for (field, bytes) in entries {
                match key_of(&self.keys.name, &field) {
                    Ok(key) => {
                        let entry = self.entry(&String::from_utf8_lossy(&field), Some(&bytes));
                        if let Ok(Some(value)) = entry.value {
                            take(key, value);
                        }
                    }
                    Err(error) => self.complain(&String::from_utf8_lossy(&field), &field, error),
                }
            }
            if next == 0 {
                return Ok(());
            }
            from = next;
        }
    }

    /// What an entry is, which is reported where it cannot be read.
    pub(crate) fn entry(&self, field: &str, bytes: Option<&[u8]>) -> Entry<V> {
        let Some(bytes) = bytes else {
            return Entry::absent();
        };
        let entry = read_entry(&entry_name(&self.keys.name, field), bytes);
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
        let told = self.lock().lose();
        self.watchers.tell(&told);
    }

    fn wrote(&self, era: Era, key: &K, entry: Entry<V>, moved: Moved, nonce: String) {
        if self.care.era() != era {
            // It may be from a server that is the master no more.
            return self.lock().forget(key);
        }
        let Moved { version, was } = moved;
        let now = Stamp { version, nonce };
        let told = self.lock().wrote(key, entry, &now, &was);
        self.watchers.tell(&told);
    }

    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(&dyn Keyspace) -> Answer<T>,
    ) -> Result<T, LoadError> {
        let answer = self.kept.ask(question).await;
        answer.map_err(|undone| self.unread(undone))
    }

    /// Asks for a change of this entry, or of all.
    async fn change<T>(
        &self,
        key: Option<&K>,
        question: impl FnOnce(&dyn Keyspace) -> Answer<T>,
    ) -> Result<T, StoreError> {
        let answer = self.kept.ask(question).await;
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

    fn unread(&self, undone: Undone) -> LoadError {
        let shared = self.keys.name.clone();
        match undone {
            Undone::Foreign(words) => LoadError::Foreign {
                shared,
                words: words.to_string(),
            },
            Undone::Overflow => LoadError::Foreign {
                shared,
                words: "its version is too great".to_owned(),
            },
            Undone::Fate(Fate::NotSent(reason) | Fate::Unknown(reason)) => {
                LoadError::Unread { shared, reason }
            }
        }
    }

    fn unchanged(&self, undone: Undone) -> StoreError {
        let shared = self.keys.name.clone();
        match undone {
            Undone::Fate(fate) => StoreError::Fate { shared, fate },
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
            LoadError::Unread { reason, .. } => StoreError::Fate {
                shared,
                fate: Fate::NotSent(reason),
            },
            source => StoreError::Load { shared, source },
        }
    }

    fn field(&self, key: &K) -> Result<String, StoreError> {
        field_of(&self.keys.name, key).map_err(|error| self.not_read(error))
    }

    pub(crate) fn encoded(&self, field: &str, value: &V) -> Result<(Vec<u8>, Arc<V>), StoreError> {
        encoded(&entry_name(&self.keys.name, field), self.format, value)
    }

    fn turn(&self, key: &K) -> &tokio::sync::Mutex<()> {
        let index = self.turn_of.hash_one(key) % TURNS as u64;
        &self.turns[usize::try_from(index).unwrap_or(0)]
    }

    pub(crate) fn lock(&self) -> Locked<'_, K, V> {
        Locked(Some(lock(&self.cache)))
    }
}

/// The cache while it is locked. What goes from it is dropped after that.
pub(crate) struct Locked<'a, K, V>(Option<MutexGuard<'a, Cache<K, V>>>);

impl<K, V> Deref for Locked<'_, K, V> {
    type Target = Cache<K, V>;

    fn deref(&self) -> &Cache<K, V> {
        self.0.as_ref().expect("it is locked until it is dropped")
    }
}

impl<K, V> DerefMut for Locked<'_, K, V> {
    fn deref_mut(&mut self) -> &mut Cache<K, V> {
        self.0.as_mut().expect("it is locked until it is dropped")
    }
}

impl<K, V> Drop for Locked<'_, K, V> {
    fn drop(&mut self) {
        let gone = self.take_gone();
        self.0 = None;
        drop(gone);
    }
}

/// A read that is under way.
struct Landing<K: Key, V: Shareable> {
    mirror: Arc<Mirror<K, V>>,
    key: K,
    ticket: Ticket,
}

impl<K: Key, V: Shareable> Landing<K, V> {
    async fn read(self, field: String) -> Result<Entry<V>, LoadError> {
        let mirror = &self.mirror;
        let found = mirror.ask(|keys| keys.entry(&mirror.keys, &field)).await?;
        let entry = mirror.entry(&field, found.entry.as_deref());
        let mut cache = mirror.lock();
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
        self.mirror.lock().reading.end(&self.key, self.ticket);
    }
}

impl<K: Key, V: Shareable> Copy for Mirror<K, V> {
    fn key(&self) -> &str {
        &self.keys.stamp
    }

    fn stamp(&self) -> Option<Stamp> {
        Some(self.lock().stamp().clone())
    }

    fn care(&self) -> &Care {
        &self.care
    }

    fn confirm(&self) {
        let told = self.lock().confirm();
        self.watchers.tell(&told);
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
            let mut heard = self.heard.subscribe();
            let had = heard.wait_for(|()| self.lock().had_since(&asked, &stamp));
            let _ = timeout(ON_ITS_WAY, had).await;
            let told = self.lock().follow(&asked, stamp);
            self.watchers.tell(&told);
            self.watchers.look_again();
            Ok(())
        })
    }

    fn went_away(&self, since: std::time::Instant) {
        self.lock().stale_since.get_or_insert(since);
    }
}

impl<K: Key, V: Shareable> Announceable<Announced> for Mirror<K, V> {
    fn hear(&self, announced: Announced, _: &Notice<'_>) {
        let key = announced.key.as_ref().map(|field| field.parse::<K>());
        let told = match (announced.moved(), key) {
            (Some((now, was)), None) => self.lock().hear(None, now, &was),
            (Some((now, was)), Some(Ok(key))) => self.lock().hear(Some(&[key]), now, &was),
            // Nothing here can be of a key that is none.
            (Some((now, was)), Some(Err(_))) => self.lock().hear(Some(&[]), now, &was),
            (None, Some(Err(_))) => return self.care.behind(),
            (None, Some(Ok(key))) => {
                // Whoever changed it does not say what the map was before.
                self.care.behind();
                self.lock().forget(&key);
                Told::Some(vec![key])
            }
            (None, None) => {
                self.care.behind();
                self.lock().forget_all();
                Told::All
            }
        };
        self.watchers.tell(&told);
        self.heard.send_replace(());
    }

    fn type_name(&self) -> &'static str {
        type_name::<(K, V)>()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, V> std::fmt::Debug for Mirror<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror")
            .field("map", &self.keys.name)
            .field("value", &type_name::<V>())
            .finish_non_exhaustive()
    }
}
