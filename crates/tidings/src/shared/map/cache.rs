//! The cached entries of a map, and their validity. No I/O.
//!
//! The cache has the stamp of the map that it agrees with. Each change notification carries the
//! stamp before and after the change. If the one before is the cache's, one entry is out of date
//! and all others are valid. Otherwise a change was missed, and the cache is emptied.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use foldhash::fast::RandomState;
use futures_util::future::WeakShared;
use hashlink::LinkedHashMap;
use tokio::sync::watch;
use tokio::time::Instant as Clock;

use crate::keyspace::stamp::{Moved, Stamp};
use crate::keyspace::value::FoundStamp;
use crate::shared::map::entry::{Entry, Loaded, Reading};
use crate::shared::map::invalidations::{Generation, Invalidations};
use crate::shared::map::single_flight::SingleFlight;
use crate::shared::map::stamps::{CacheState, Stamps};

/// The entries that changed, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed<K> {
    Nothing,
    Some(Vec<K>),
    All,
}

pub(crate) struct Cache<K, V> {
    stamps: Stamps,
    /// The number of answers that overtook those of earlier changes, or may have.
    overtakes: u64,
    /// Ordered by use, the least recently used first.
    entries: LinkedHashMap<K, Entry<V>, RandomState>,
    capacity: usize,
    /// Removed entries, to be dropped outside of the lock.
    discarded: Discarded<K, V>,
    /// Entries from a write without a received notification, and its nonce.
    unconfirmed: HashMap<K, String, RandomState>,
    pub(crate) reading: SingleFlight<K, WeakShared<Reading<V>>>,
    pub(crate) loading: SingleFlight<K, watch::Receiver<Option<Loaded<V>>>>,
    pub(crate) stale_since: Option<Instant>,
    pub(crate) invalid: Invalidations<K>,
}

pub(crate) type Discarded<K, V> = Vec<(K, Entry<V>)>;

impl<K, V> Cache<K, V> {
    /// Takes the removed entries. The caller drops them outside of the lock, because dropping runs
    /// the application's code.
    pub(crate) fn take_discarded(&mut self) -> Discarded<K, V> {
        std::mem::take(&mut self.discarded)
    }

    /// Takes all entries of a cache that is dropped.
    pub(crate) fn take_all(&mut self) -> Discarded<K, V> {
        self.clear();
        self.take_discarded()
    }

    fn clear(&mut self) {
        self.discarded.extend(self.entries.drain());
        self.unconfirmed.clear();
    }
}

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            stamps: Stamps::default(),
            overtakes: 0,
            entries: LinkedHashMap::default(),
            capacity,
            discarded: Vec::new(),
            unconfirmed: HashMap::default(),
            reading: SingleFlight::default(),
            loading: SingleFlight::default(),
            stale_since: None,
            invalid: Invalidations::default(),
        }
    }

    pub(crate) fn stamp(&self) -> &Stamp {
        self.stamps.current()
    }

    /// Returns the number of overtakes, for a write that begins now.
    pub(crate) fn overtakes(&self) -> u64 {
        self.overtakes
    }

    /// Returns the entry, if it is cached and has not expired.
    pub(crate) fn get(&mut self, key: &K) -> Option<&Entry<V>> {
        let until = self.entries.get(key)?.until;
        if until.is_some_and(|until| until <= Clock::now()) {
            self.remove_entry(key);
            return None;
        }
        self.entries.to_back(key).map(|entry| &*entry)
    }

    /// Caches an entry that was read when the map had this stamp. The caller knows that no change
    /// of the entry was received since the request. An answer that a newer one overtook is not
    /// cached, because the entry may have changed between them; nor is an invalidated entry.
    pub(crate) fn insert(&mut self, key: K, entry: Entry<V>, at: &Stamp) {
        let is_overtaken = !self.stamps.is_known(at) && at.version < self.stamp().version;
        if is_overtaken || self.invalid.contains(&key) {
            self.discarded.push((key, entry));
            return;
        }
        if self.entries.is_empty() && !self.stamps.is_known(at) {
            self.stamps.adopt_unannounced(at);
        }
        self.note(at);
        if self.stamps.is_known(at) {
            self.unconfirmed.remove(&key);
        } else {
            self.unconfirmed.insert(key.clone(), at.nonce.clone());
        }
        self.discarded.extend(self.entries.remove_entry(&key));
        self.entries.insert(key, entry);
        if self.entries.len() > self.capacity
            && let Some((key, entry)) = self.entries.pop_front()
        {
            self.unconfirmed.remove(&key);
            self.discarded.push((key, entry));
        }
    }

    /// An answer had this stamp.
    pub(crate) fn note(&mut self, at: &Stamp) {
        if !self.stamps.is_known(at) {
            self.overtakes += 1;
        }
    }

    /// A change of these entries, or of all, was received.
    pub(crate) fn receive(&mut self, keys: Option<&[K]>, now: Stamp, was: &str) -> Changed<K> {
        if self.stamps.take_unannounced(&now) {
            return self.changed(keys);
        }
        // Own changes are known before their notifications come.
        if self.stamps.is_known(&now) {
            return Changed::Nothing;
        }
        if self.stamps.is_next(&now, was) {
            let changed = self.changed(keys);
            self.advance(now);
            return changed;
        }
        if self.stamps.is_late(&now) {
            return self.changed(keys);
        }
        self.forget_all();
        // Later reads are no older than this stamp.
        self.stamps.adopt(now);
        Changed::All
    }

    fn changed(&mut self, keys: Option<&[K]>) -> Changed<K> {
        let Some(keys) = keys else {
            self.forget_all();
            return Changed::All;
        };
        for key in keys {
            self.forget(key);
        }
        Changed::Some(keys.to_vec())
    }

    /// This process wrote an entry. `overtakes` is from the beginning of the write.
    pub(crate) fn record_write(
        &mut self,
        key: &K,
        entry: Entry<V>,
        Moved { now, was }: &Moved,
        overtakes: u64,
    ) -> Changed<K> {
        let is_overtaken = self.overtakes != overtakes;
        let changed = self.cache_write(key, entry, now, was);
        if is_overtaken {
            // The answer that came first may be of a later change of this entry.
            self.forget(key);
        }
        changed
    }

    fn cache_write(&mut self, key: &K, entry: Entry<V>, now: &Stamp, was: &str) -> Changed<K> {
        self.forget(key);
        if now == self.stamp() {
            self.insert(key.clone(), entry, now);
            if self.stamps.take_unannounced(now) {
                return Changed::Some(vec![key.clone()]);
            }
            return Changed::Nothing;
        }
        if !self.stamps.is_next(now, was) {
            // Changes before it were not received yet: those of others may be of this entry, and those
            // of this process must not replace it.
            self.overtakes += 1;
            self.discarded.push((key.clone(), entry));
            return Changed::Nothing;
        }
        self.advance(now.clone());
        self.insert(key.clone(), entry, now);
        Changed::Some(vec![key.clone()])
    }

    /// This process removed all entries.
    pub(crate) fn record_clear(&mut self, Moved { now, was }: Moved) -> Changed<K> {
        self.overtakes += 1;
        self.receive(None, now, &was)
    }

    /// Redis holds the stamp of the cache: all entries are valid but those from unconfirmed writes.
    pub(crate) fn confirm(&mut self) -> Changed<K> {
        self.stale_since = None;
        let unconfirmed = std::mem::take(&mut self.unconfirmed);
        let dropped: Vec<K> = unconfirmed.into_keys().collect();
        for key in &dropped {
            self.forget(key);
        }
        Changed::Some(dropped)
    }

    /// Returns the state, for a request that begins now.
    pub(crate) fn state(&self) -> CacheState {
        self.stamps.state()
    }

    /// Returns whether the cache has this stamp, or had it since then.
    pub(crate) fn had_since(&self, state: &CacheState, stamp: &Stamp) -> bool {
        self.stamps.had_since(state, stamp)
    }

    /// Returns whether Redis has entries, unless it has lost them.
    pub(crate) fn has_entries(&self) -> bool {
        let now = Clock::now();
        let is_there = |entry: &Entry<V>| {
            !entry.nonce.is_empty() && entry.until.is_none_or(|until| until > now)
        };
        self.entries.values().any(is_there)
    }

    /// Redis held this stamp after the request.
    pub(crate) fn follow(&mut self, state: &CacheState, found: FoundStamp) -> Changed<K> {
        let stamp = found.stamp;
        // All entries may have expired since.
        let is_lost = found.has_no_entries && stamp == *self.stamp() && self.has_entries();
        if !is_lost && self.had_since(state, &stamp) {
            return self.confirm();
        }
        self.stale_since = None;
        self.forget_all();
        self.stamps.adopt_answer(stamp);
        Changed::All
    }

    /// The stamp in Redis cannot be read: empties the cache.
    pub(crate) fn reset(&mut self) -> Changed<K> {
        let is_news = self.stale_since.is_none() || !self.entries.is_empty();
        self.stale_since.get_or_insert_with(Instant::now);
        self.forget_all();
        self.stamps.adopt(Stamp::default());
        if is_news {
            Changed::All
        } else {
            Changed::Nothing
        }
    }

    /// Removes an entry that may have changed.
    pub(crate) fn forget(&mut self, key: &K) {
        self.remove_entry(key);
        self.reading.forget(key);
        self.loading.forget(key);
    }

    /// Invalidates an entry until Redis confirms it, by a call that the caller ends.
    pub(crate) fn begin_invalidation(&mut self, key: &K) -> Generation {
        self.forget(key);
        self.invalid.begin_call(key)
    }

    /// Ends that call. If it is one of too many that failed, invalidates all entries and returns true.
    pub(crate) fn end_invalidation(&mut self) -> bool {
        let is_all = self.invalid.end_call();
        if is_all {
            self.forget_all();
        }
        is_all
    }

    /// Removes all entries, which may have changed.
    pub(crate) fn forget_all(&mut self) {
        self.clear();
        self.reading.clear();
        self.loading.clear();
    }

    fn remove_entry(&mut self, key: &K) {
        self.discarded.extend(self.entries.remove_entry(key));
        self.unconfirmed.remove(key);
    }

    /// All changes up to this stamp were received.
    fn advance(&mut self, now: Stamp) {
        if !self.unconfirmed.is_empty() {
            self.unconfirmed.retain(|_, mark| *mark != now.nonce);
        }
        self.stamps.advance(now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn stamp(version: u64) -> Stamp {
        let nonce = match version {
            0 => String::new(),
            _ => format!("n{version}"),
        };
        Stamp { version, nonce }
    }

    fn found(version: u64) -> FoundStamp {
        FoundStamp {
            stamp: stamp(version),
            has_no_entries: false,
        }
    }

    fn entry(value: u32) -> Entry<u32> {
        Entry {
            nonce: format!("e{value}").into(),
            value: Ok(Some(Arc::new(value))),
            until: None,
        }
    }

    /// Entries 1 to 3, read at the first stamp.
    fn cache() -> Cache<u32, u32> {
        let mut cache = Cache::new(10);
        (1..=3).for_each(|key| cache.insert(key, entry(key), &stamp(1)));
        cache
    }

    /// Receives that these entries were changed, which made this version from the one before.
    fn receive(cache: &mut Cache<u32, u32>, keys: &[u32], version: u64) -> Changed<u32> {
        cache.receive(Some(keys), stamp(version), &stamp(version - 1).nonce)
    }

    /// Records that this process wrote an entry, which made this version from the one before.
    fn write(cache: &mut Cache<u32, u32>, key: u32, value: u32, version: u64) -> Changed<u32> {
        let begun = cache.overtakes();
        cache.record_write(&key, entry(value), &moved(version), begun)
    }

    fn moved(version: u64) -> Moved {
        Moved {
            now: stamp(version),
            was: stamp(version - 1).nonce,
        }
    }

    fn cached_keys(cache: &mut Cache<u32, u32>) -> Vec<u32> {
        (0..10).filter(|key| cache.get(key).is_some()).collect()
    }

    #[test]
    fn the_least_recently_used_entry_is_removed_beyond_the_capacity() {
        let mut cache = Cache::new(2);
        (1..=2).for_each(|key| cache.insert(key, entry(key), &stamp(1)));
        assert!(cache.get(&1).is_some());

        cache.insert(3, entry(3), &stamp(1));

        assert_eq!(cached_keys(&mut cache), [1, 3]);
        assert_eq!(cache.take_discarded().len(), 1);
    }

    #[test]
    fn a_capacity_of_zero_caches_nothing() {
        let mut cache = Cache::new(0);
        cache.insert(1, entry(1), &stamp(1));
        assert!(cached_keys(&mut cache).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_cached_until_its_time_to_live_ends() {
        let mut cache = cache();
        let until = Some(Clock::now() + Duration::from_secs(5));
        let entry = Entry { until, ..entry(2) };
        cache.insert(2, entry, &stamp(1));

        tokio::time::advance(Duration::from_millis(4_999)).await;
        assert_eq!(cached_keys(&mut cache), [1, 2, 3]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(cached_keys(&mut cache), [1, 3]);
    }

    #[test]
    fn the_next_change_drops_one_entry() {
        let mut cache = cache();
        assert_eq!(receive(&mut cache, &[2], 2), Changed::Some(vec![2]));
        assert_eq!(cached_keys(&mut cache), [1, 3]);
        assert_eq!(cache.stamp(), &stamp(2));
    }

    #[test]
    fn a_change_after_a_missed_one_drops_all() {
        let mut cache = cache();
        assert_eq!(receive(&mut cache, &[2], 3), Changed::All);
        assert!(cached_keys(&mut cache).is_empty());
        // Later changes drop single entries again.
        cache.insert(1, entry(1), &stamp(3));
        assert_eq!(receive(&mut cache, &[2], 4), Changed::Some(vec![2]));
        assert_eq!(cached_keys(&mut cache), [1]);
    }

    #[test]
    fn a_late_notification_drops_one_entry() {
        let mut cache = Cache::new(10);
        (1..=3).for_each(|key| cache.insert(key, entry(key), &stamp(5)));
        assert_eq!(receive(&mut cache, &[2], 4), Changed::Some(vec![2]));
        // Nor was the notification received of the change in the answer.
        assert_eq!(receive(&mut cache, &[4], 5), Changed::Some(vec![4]));
        assert_eq!(receive(&mut cache, &[4], 5), Changed::Nothing);
        assert_eq!(cached_keys(&mut cache), [1, 3]);
        assert_eq!(receive(&mut cache, &[1], 6), Changed::Some(vec![1]));
        assert_eq!(cached_keys(&mut cache), [3]);
        // After a missed change, lower versions are news.
        assert_eq!(receive(&mut cache, &[1], 8), Changed::All);
        cache.insert(3, entry(3), &stamp(8));
        assert_eq!(receive(&mut cache, &[1], 7), Changed::All);
    }

    #[test]
    fn a_stamp_with_the_same_nonce_and_another_version_differs() {
        let mut cache = cache();
        assert_eq!(cache.receive(Some(&[2]), stamp(9), "n1"), Changed::All);
        assert!(cached_keys(&mut cache).is_empty());
    }

    #[test]
    fn a_repeated_notification_changes_nothing() {
        let mut cache = cache();
        receive(&mut cache, &[4], 2);
        assert_eq!(receive(&mut cache, &[2], 2), Changed::Nothing);
        assert_eq!(receive(&mut cache, &[2], 1), Changed::Some(vec![2]));
        assert_eq!(receive(&mut cache, &[1], 1), Changed::Nothing);
        assert_eq!(cached_keys(&mut cache), [1, 3]);
    }

    #[test]
    fn only_another_stamp_in_redis_drops_entries() {
        let mut cache = cache();
        let state = cache.state();
        assert_eq!(cache.follow(&state, found(1)), Changed::Some(vec![]));
        assert_eq!(cached_keys(&mut cache), [1, 2, 3]);
        assert_eq!(cache.follow(&state, found(2)), Changed::All);
        assert!(cached_keys(&mut cache).is_empty());
        assert_eq!(cache.stamp(), &stamp(2));
    }

    #[test]
    fn an_answer_that_notifications_overtook_drops_nothing_and_one_of_a_failover_all() {
        let mut cache = cache();
        receive(&mut cache, &[1], 2);
        let state = cache.state();
        receive(&mut cache, &[2], 3);
        assert_eq!(cache.follow(&state, found(2)), Changed::Some(vec![]));
        assert_eq!(cache.stamp(), &stamp(3));
        assert_eq!(cache.follow(&state, found(1)), Changed::All);
        assert!(cached_keys(&mut cache).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn entries_that_redis_lost_are_dropped_unless_they_have_expired() {
        let empty = FoundStamp {
            has_no_entries: true,
            ..found(1)
        };
        let mut cache = Cache::new(10);
        cache.insert(1, Entry::absent(), &stamp(1));
        assert!(!cache.has_entries());
        let until = Some(Clock::now() + Duration::from_secs(1));
        cache.insert(2, Entry { until, ..entry(2) }, &stamp(1));
        assert!(cache.has_entries());
        let state = cache.state();
        let mut expired = Cache::new(10);
        expired.insert(1, Entry::absent(), &stamp(1));
        expired.insert(2, Entry { until, ..entry(2) }, &stamp(1));

        assert_eq!(cache.follow(&state, empty.clone()), Changed::All);
        assert_eq!(cache.stamp(), &stamp(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(expired.follow(&state, empty), Changed::Some(vec![]));
    }

    #[test]
    fn an_answer_that_was_overtaken_by_another_answer_drops_nothing() {
        let mut cache = Cache::new(10);
        let state = cache.state();
        cache.insert(1, entry(1), &stamp(1));
        assert_eq!(cache.follow(&state, found(0)), Changed::Some(vec![]));
        assert_eq!(cached_keys(&mut cache), [1]);
        assert_eq!(cache.stamp(), &stamp(1));
    }

    #[test]
    fn an_entry_of_a_write_without_a_notification_is_not_confirmed() {
        let mut cache = cache();
        // Redis answered at the second stamp, and lost that in a failover.
        cache.insert(4, entry(4), &stamp(2));
        assert_eq!(cache.confirm(), Changed::Some(vec![4]));
        assert_eq!(cached_keys(&mut cache), [1, 2, 3]);
    }

    #[test]
    fn an_entry_of_a_write_with_a_late_notification_stays() {
        let mut cache = cache();
        cache.insert(4, entry(4), &stamp(2));
        receive(&mut cache, &[1], 2);
        assert_eq!(cache.confirm(), Changed::Some(vec![]));
        assert_eq!(cached_keys(&mut cache), [2, 3, 4]);
    }

    #[test]
    fn an_answer_older_than_the_last_notification_is_cached() {
        let mut cache = cache();
        receive(&mut cache, &[1], 2);
        cache.insert(4, entry(4), &stamp(1));
        assert_eq!(cache.confirm(), Changed::Some(vec![]));
        assert_eq!(cached_keys(&mut cache), [2, 3, 4]);
    }

    #[test]
    fn an_own_write_without_a_concurrent_one_is_cached() {
        let mut cache = cache();
        let changed = write(&mut cache, 1, 7, 2);
        assert_eq!(changed, Changed::Some(vec![1]));
        assert_eq!(cached_keys(&mut cache), [1, 2, 3]);
        assert_eq!(receive(&mut cache, &[1], 2), Changed::Nothing);
        assert_eq!(cached_keys(&mut cache), [1, 2, 3]);
    }

    #[test]
    fn late_notifications_of_own_writes_change_nothing() {
        let mut cache = cache();
        write(&mut cache, 1, 7, 2);
        write(&mut cache, 2, 8, 3);
        assert_eq!(receive(&mut cache, &[1], 2), Changed::Nothing);
        assert_eq!(receive(&mut cache, &[2], 3), Changed::Nothing);
        assert_eq!(cached_keys(&mut cache), [1, 2, 3]);
    }

    #[test]
    fn clearing_the_map_is_one_change() {
        let mut cache = cache();
        assert_eq!(cache.receive(None, stamp(2), "n1"), Changed::All);
        assert!(cached_keys(&mut cache).is_empty());
        assert_eq!(cache.receive(None, stamp(2), "n1"), Changed::Nothing);
        assert_eq!(receive(&mut cache, &[1], 3), Changed::Some(vec![1]));
    }

    #[test]
    fn an_own_write_whose_notification_comes_before_its_answer_is_cached() {
        let mut cache = cache();
        receive(&mut cache, &[1], 2);
        let changed = write(&mut cache, 1, 7, 2);
        assert_eq!(changed, Changed::Nothing);
        assert_eq!(cached_keys(&mut cache), [1, 2, 3]);
    }

    #[test]
    fn an_own_write_with_a_concurrent_one_is_read_again() {
        let mut cache = cache();
        assert_eq!(write(&mut cache, 1, 7, 3), Changed::Nothing);
        assert_eq!(cached_keys(&mut cache), [2, 3]);
        assert_eq!(cache.stamp(), &stamp(1));
    }

    #[test]
    fn an_own_write_whose_answer_a_later_one_overtook_is_not_cached() {
        let overtaking: [fn(&mut Cache<u32, u32>); 5] = [
            |cache| drop(cache.record_write(&1, Entry::absent(), &moved(3), 0)),
            |cache| {
                cache.record_write(&1, Entry::absent(), &moved(3), 0);
                receive(cache, &[1], 2);
            },
            |cache| cache.insert(1, entry(8), &stamp(3)),
            |cache| cache.note(&stamp(3)),
            |cache| {
                cache.record_clear(moved(3));
                receive(cache, &[1], 2);
            },
        ];
        for (case, overtake) in overtaking.into_iter().enumerate() {
            let mut cache = cache();
            assert_eq!(cache.overtakes(), 0);
            overtake(&mut cache);

            cache.record_write(&1, entry(7), &moved(2), 0);

            assert!(cache.get(&1).is_none(), "case {case}");
            receive(&mut cache, &[1], 3);
            write(&mut cache, 1, 9, 4);
            assert!(cache.get(&1).is_some(), "case {case}");
        }
    }

    #[test]
    fn an_answer_that_a_newer_one_overtook_is_not_cached() {
        let mut cache = Cache::new(10);
        cache.insert(1, entry(1), &stamp(2));
        // The second change was of this entry.
        cache.insert(2, entry(2), &stamp(1));
        assert_eq!(cached_keys(&mut cache), [1]);
        assert_eq!(receive(&mut cache, &[2], 2), Changed::Some(vec![2]));
        assert_eq!(cached_keys(&mut cache), [1]);
    }

    #[test]
    fn an_own_write_that_an_answer_included_is_notified_once() {
        let mut cache = Cache::new(10);
        cache.insert(2, entry(2), &stamp(2));
        let changed = write(&mut cache, 1, 7, 2);
        assert_eq!(changed, Changed::Some(vec![1]));
        assert_eq!(receive(&mut cache, &[1], 2), Changed::Nothing);
        assert_eq!(cached_keys(&mut cache), [1, 2]);
    }

    #[test]
    fn a_change_of_an_invalid_key_drops_nothing() {
        let mut cache = cache();
        assert_eq!(receive(&mut cache, &[], 2), Changed::Some(vec![]));
        assert_eq!(cached_keys(&mut cache), [1, 2, 3]);
        assert_eq!(cache.stamp(), &stamp(2));
    }

    #[test]
    fn an_overtaken_read_cannot_be_joined() {
        let mut cache = cache();
        let ticket = cache.reading.ticket();
        let (_, load) = watch::channel(None);
        let loading = cache.loading.ticket();
        cache.loading.begin(2, loading, load);
        receive(&mut cache, &[2], 2);
        assert!(!cache.reading.end(&2, ticket));
        assert!(!cache.loading.end(&2, loading));
    }
}
