//! What a process has of a map, and how far it can be trusted. No I/O.
//!
//! The cache has the stamp of the map that it agrees with. Each change announces the stamp before
//! it and the one after it: where the one before is the cache's, one entry is out of date and all
//! others are not. Anything else means that something was missed, and nothing is kept.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use futures_util::future::WeakShared;
use hashlink::LinkedHashMap;
use tokio::sync::watch;
use tokio::time::Instant as Clocked;

use crate::keyspace::stamp::Stamp;
use crate::shared::map::entry::Loaded;
use crate::shared::map::entry::{Entry, Reading};
use crate::shared::map::invalidations::{Invalidations, Turn};
use crate::shared::map::single_flight::SingleFlight;

/// How many former stamps are remembered, to know those that answers still bring.
const PASSED: usize = 256;

/// How long a notice may take that Redis gave out before it answered. One that has not come by then
/// was missed.
pub(crate) const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// What was here when Redis was asked for the stamp.
#[derive(Clone, Debug)]
pub(crate) struct CacheState {
    stamp: Stamp,
    steps: u64,
}

/// What changed, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed<K> {
    Nothing,
    Some(Vec<K>),
    All,
}

pub(crate) struct Cache<K, V> {
    stamp: Stamp,
    /// The marks that the stamp had before, since it was last read anew.
    passed: VecDeque<String>,
    /// How many steps it went.
    steps: u64,
    /// When the stamp was taken from an answer: notices from before it may still come.
    answered: Option<Instant>,
    /// The stamp that an answer brought before its notice was heard.
    unannounced: Option<Stamp>,
    /// The least recently used one first.
    entries: LinkedHashMap<K, Entry<V>, RandomState>,
    capacity: usize,
    /// What was taken out or not kept, to be dropped where no lock is held.
    gone: Gone<K, V>,
    /// The entries that come from a writing of which nothing was heard yet, and its mark.
    ahead: HashMap<K, String, RandomState>,
    pub(crate) reading: SingleFlight<K, WeakShared<Reading<V>>>,
    pub(crate) loading: SingleFlight<K, watch::Receiver<Option<Loaded<V>>>>,
    pub(crate) stale_since: Option<Instant>,
    pub(crate) invalid: Invalidations<K>,
}

pub(crate) type Gone<K, V> = Vec<(K, Entry<V>)>;

impl<K, V> Cache<K, V> {
    /// What has to be dropped where no lock is held: to drop it is the application's code.
    pub(crate) fn take_gone(&mut self) -> Gone<K, V> {
        std::mem::take(&mut self.gone)
    }

    /// The same of a cache that nobody uses any more.
    pub(crate) fn take_all(&mut self) -> Gone<K, V> {
        self.clear();
        self.take_gone()
    }

    fn clear(&mut self) {
        self.gone.extend(self.entries.drain());
        self.ahead.clear();
    }
}

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            stamp: Stamp::default(),
            passed: VecDeque::new(),
            steps: 0,
            answered: None,
            unannounced: None,
            entries: LinkedHashMap::default(),
            capacity,
            gone: Vec::new(),
            ahead: HashMap::default(),
            reading: SingleFlight::default(),
            loading: SingleFlight::default(),
            stale_since: None,
            invalid: Invalidations::default(),
        }
    }

    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The entry, if it is at hand and its time to live is not over.
    pub(crate) fn get(&mut self, key: &K) -> Option<&Entry<V>> {
        let until = self.entries.get(key)?.until;
        if until.is_some_and(|until| until <= Clocked::now()) {
            self.take_out(key);
            return None;
        }
        self.entries.to_back(key).map(|entry| &*entry)
    }

    /// Keeps what was read when the map had this stamp. The caller knows that no change of this
    /// entry was heard of since it was asked for. An answer that another one overtook is not kept: a
    /// change that lies between them may be of this entry. Nor is what was invalidated, until Redis
    /// knows.
    pub(crate) fn keep(&mut self, key: K, entry: Entry<V>, at: &Stamp) {
        let is_overtaken = !self.has_passed(at) && at.version < self.stamp.version;
        if is_overtaken || self.invalid.has(&key) {
            self.gone.push((key, entry));
            return;
        }
        if self.entries.is_empty() && !self.has_passed(at) {
            self.adopt(at.clone());
            self.answered = Some(Instant::now());
            self.unannounced = Some(at.clone());
        }
        if self.has_passed(at) {
            self.ahead.remove(&key);
        } else {
            self.ahead.insert(key.clone(), at.nonce.clone());
        }
        self.gone.extend(self.entries.remove_entry(&key));
        self.entries.insert(key, entry);
        if self.entries.len() > self.capacity
            && let Some((key, entry)) = self.entries.pop_front()
        {
            self.ahead.remove(&key);
            self.gone.push((key, entry));
        }
    }

    /// A change of these entries, or of all, was heard of.
    pub(crate) fn receive(&mut self, keys: Option<&[K]>, now: Stamp, was: &str) -> Changed<K> {
        if self
            .unannounced
            .take_if(|unannounced| *unannounced == now)
            .is_some()
        {
            return self.changed(keys);
        }
        // Our own changes are known before they are heard of.
        if self.has_passed(&now) {
            return Changed::Nothing;
        }
        if self.is_next(&now, was) {
            let changed = self.changed(keys);
            self.advance(now);
            return changed;
        }
        if self.is_late(&now) {
            return self.changed(keys);
        }
        self.forget_all();
        // What is read from now on is no older than this.
        self.adopt(now);
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

    /// This process changed an entry, to this.
    pub(crate) fn wrote(&mut self, key: &K, entry: Entry<V>, now: &Stamp, was: &str) -> Changed<K> {
        self.forget(key);
        if *now == self.stamp {
            self.keep(key.clone(), entry, now);
            if self
                .unannounced
                .take_if(|unannounced| unannounced == now)
                .is_some()
            {
                return Changed::Some(vec![key.clone()]);
            }
            return Changed::Nothing;
        }
        if !self.is_next(now, was) {
            // What others wrote before or after it was not heard of yet, and may be this entry.
            self.gone.push((key.clone(), entry));
            return Changed::Nothing;
        }
        self.advance(now.clone());
        self.keep(key.clone(), entry, now);
        Changed::Some(vec![key.clone()])
    }

    /// Redis holds the stamp that is here: all but what is from elsewhere is what Redis holds.
    pub(crate) fn confirm(&mut self) -> Changed<K> {
        self.stale_since = None;
        let ahead = std::mem::take(&mut self.ahead);
        let dropped: Vec<K> = ahead.into_keys().collect();
        for key in &dropped {
            self.forget(key);
        }
        Changed::Some(dropped)
    }

    /// How far it is now, for an answer that is on its way.
    pub(crate) fn asked(&self) -> CacheState {
        CacheState {
            stamp: self.stamp.clone(),
            steps: self.steps,
        }
    }

    /// Whether this is the stamp that is here, or was since then: Redis may answer before others
    /// write, and be heard after them. An older one would be from a failover.
    pub(crate) fn had_since(&self, asked: &CacheState, stamp: &Stamp) -> bool {
        let steps = usize::try_from(self.steps - asked.steps).unwrap_or(usize::MAX);
        let mut had = self.passed.iter().rev().take(steps);
        *stamp == self.stamp || *stamp == asked.stamp || had.any(|nonce| *nonce == stamp.nonce)
    }

    /// Redis held this stamp after it was asked.
    pub(crate) fn follow(&mut self, asked: &CacheState, stamp: Stamp) -> Changed<K> {
        if self.had_since(asked, &stamp) {
            return self.confirm();
        }
        self.stale_since = None;
        self.forget_all();
        self.adopt(stamp);
        self.answered = Some(Instant::now());
        Changed::All
    }

    /// Nobody knows what Redis holds: what is here is of no use.
    pub(crate) fn lose(&mut self) -> Changed<K> {
        let is_news = self.stale_since.is_none() || !self.entries.is_empty();
        self.stale_since.get_or_insert_with(Instant::now);
        self.forget_all();
        self.adopt(Stamp::default());
        if is_news {
            Changed::All
        } else {
            Changed::Nothing
        }
    }

    /// This entry may be another by now.
    pub(crate) fn forget(&mut self, key: &K) {
        self.take_out(key);
        self.reading.forget(key);
        self.loading.forget(key);
    }

    /// This entry is out of date, and maybe all of them, until Redis knows.
    pub(crate) fn invalidate(&mut self, key: &K) -> Turn {
        let turn = self.invalid.add(key);
        match self.invalid.len() {
            Some(_) => self.forget(key),
            None => self.forget_all(),
        }
        turn
    }

    /// Any of them may be another by now.
    pub(crate) fn forget_all(&mut self) {
        self.clear();
        self.reading.clear();
        self.loading.clear();
    }

    fn take_out(&mut self, key: &K) {
        self.gone.extend(self.entries.remove_entry(key));
        self.ahead.remove(key);
    }

    fn is_next(&self, now: &Stamp, was: &str) -> bool {
        was == self.stamp.nonce && self.stamp.version.checked_add(1) == Some(now.version)
    }

    /// Whether this comes from before the answer that the stamp is from, and is in that. Versions can
    /// be taken back, so this is believed for a moment only.
    fn is_late(&self, now: &Stamp) -> bool {
        let answered = self.answered.is_some_and(|at| at.elapsed() < ON_ITS_WAY);
        answered && now.version < self.stamp.version
    }

    /// Every change up to this one was heard of.
    fn advance(&mut self, now: Stamp) {
        if !self.ahead.is_empty() {
            self.ahead.retain(|_, mark| *mark != now.nonce);
        }
        if self.passed.len() == PASSED {
            self.passed.pop_front();
        }
        let former = std::mem::replace(&mut self.stamp, now);
        self.passed.push_back(former.nonce);
        self.steps += 1;
    }

    fn adopt(&mut self, stamp: Stamp) {
        self.passed.clear();
        self.answered = None;
        self.unannounced = None;
        self.stamp = stamp;
    }

    fn has_passed(&self, stamp: &Stamp) -> bool {
        *stamp == self.stamp || self.passed.contains(&stamp.nonce)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn stamp(version: u64) -> Stamp {
        let nonce = match version {
            0 => String::new(),
            _ => format!("n{version}"),
        };
        Stamp { version, nonce }
    }

    fn entry(value: u32) -> Entry<u32> {
        Entry {
            nonce: format!("e{value}").into(),
            value: Ok(Some(Arc::new(value))),
            until: None,
        }
    }

    /// Entries 1 to 3, read when the map had its first stamp.
    fn cache() -> Cache<u32, u32> {
        let mut cache = Cache::new(10);
        (1..=3).for_each(|key| cache.keep(key, entry(key), &stamp(1)));
        cache
    }

    fn keyspace(cache: &mut Cache<u32, u32>) -> Vec<u32> {
        (0..10).filter(|key| cache.get(key).is_some()).collect()
    }

    #[test]
    fn the_least_recently_used_entry_goes_where_there_are_too_many() {
        let mut cache = Cache::new(2);
        (1..=2).for_each(|key| cache.keep(key, entry(key), &stamp(1)));
        assert!(cache.get(&1).is_some());

        cache.keep(3, entry(3), &stamp(1));

        assert_eq!(keyspace(&mut cache), [1, 3]);
        assert_eq!(cache.take_gone().len(), 1);
    }

    #[test]
    fn a_capacity_of_zero_keeps_nothing() {
        let mut cache = Cache::new(0);
        cache.keep(1, entry(1), &stamp(1));
        assert!(keyspace(&mut cache).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_at_hand_until_its_time_to_live_is_over() {
        let mut cache = cache();
        let until = Some(Clocked::now() + Duration::from_secs(5));
        let entry = Entry { until, ..entry(2) };
        cache.keep(2, entry, &stamp(1));

        tokio::time::advance(Duration::from_millis(4_999)).await;
        assert_eq!(keyspace(&mut cache), [1, 2, 3]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(keyspace(&mut cache), [1, 3]);
    }

    #[test]
    fn the_next_change_drops_one_entry() {
        let mut cache = cache();
        assert_eq!(
            cache.receive(Some(&[2]), stamp(2), "n1"),
            Changed::Some(vec![2])
        );
        assert_eq!(keyspace(&mut cache), [1, 3]);
        assert_eq!(cache.stamp(), &stamp(2));
    }

    #[test]
    fn a_change_after_one_that_was_missed_drops_all() {
        let mut cache = cache();
        assert_eq!(cache.receive(Some(&[2]), stamp(3), "n2"), Changed::All);
        assert!(keyspace(&mut cache).is_empty());
        // And from there on it goes step by step again.
        cache.keep(1, entry(1), &stamp(3));
        assert_eq!(
            cache.receive(Some(&[2]), stamp(4), "n3"),
            Changed::Some(vec![2])
        );
        assert_eq!(keyspace(&mut cache), [1]);
    }

    #[test]
    fn a_change_from_before_the_answer_drops_one_entry() {
        let mut cache = Cache::new(10);
        (1..=3).for_each(|key| cache.keep(key, entry(key), &stamp(5)));
        assert_eq!(
            cache.receive(Some(&[2]), stamp(4), "n3"),
            Changed::Some(vec![2])
        );
        // Nor was the change heard of that the answer has.
        assert_eq!(
            cache.receive(Some(&[4]), stamp(5), "n4"),
            Changed::Some(vec![4])
        );
        assert_eq!(cache.receive(Some(&[4]), stamp(5), "n4"), Changed::Nothing);
        assert_eq!(keyspace(&mut cache), [1, 3]);
        assert_eq!(
            cache.receive(Some(&[1]), stamp(6), "n5"),
            Changed::Some(vec![1])
        );
        assert_eq!(keyspace(&mut cache), [3]);
        // Once something is heard that fits to nothing, older versions are news.
        assert_eq!(cache.receive(Some(&[1]), stamp(8), "n7"), Changed::All);
        cache.keep(3, entry(3), &stamp(8));
        assert_eq!(cache.receive(Some(&[1]), stamp(7), "n6"), Changed::All);
    }

    #[test]
    fn a_stamp_of_the_same_mark_and_another_version_is_another() {
        let mut cache = cache();
        assert_eq!(cache.receive(Some(&[2]), stamp(9), "n1"), Changed::All);
        assert!(keyspace(&mut cache).is_empty());
    }

    #[test]
    fn what_is_heard_of_once_more_changes_nothing() {
        let mut cache = cache();
        cache.receive(Some(&[4]), stamp(2), "n1");
        assert_eq!(cache.receive(Some(&[2]), stamp(2), "n1"), Changed::Nothing);
        assert_eq!(
            cache.receive(Some(&[2]), stamp(1), ""),
            Changed::Some(vec![2])
        );
        assert_eq!(cache.receive(Some(&[1]), stamp(1), ""), Changed::Nothing);
        assert_eq!(keyspace(&mut cache), [1, 3]);
    }

    #[test]
    fn another_stamp_in_redis_drops_all_and_the_same_nothing() {
        let mut cache = cache();
        let asked = cache.asked();
        assert_eq!(cache.follow(&asked, stamp(1)), Changed::Some(vec![]));
        assert_eq!(keyspace(&mut cache), [1, 2, 3]);
        assert_eq!(cache.follow(&asked, stamp(2)), Changed::All);
        assert!(keyspace(&mut cache).is_empty());
        assert_eq!(cache.stamp(), &stamp(2));
    }

    #[test]
    fn an_answer_that_was_overtaken_by_notices_drops_nothing_and_one_of_a_failover_all() {
        let mut cache = cache();
        cache.receive(Some(&[1]), stamp(2), "n1");
        let asked = cache.asked();
        cache.receive(Some(&[2]), stamp(3), "n2");
        assert_eq!(cache.follow(&asked, stamp(2)), Changed::Some(vec![]));
        assert_eq!(cache.stamp(), &stamp(3));
        assert_eq!(cache.follow(&asked, stamp(1)), Changed::All);
        assert!(keyspace(&mut cache).is_empty());
    }

    #[test]
    fn an_answer_that_was_overtaken_by_another_answer_drops_nothing() {
        let mut cache = Cache::new(10);
        let asked = cache.asked();
        cache.keep(1, entry(1), &stamp(1));
        assert_eq!(cache.follow(&asked, stamp(0)), Changed::Some(vec![]));
        assert_eq!(keyspace(&mut cache), [1]);
        assert_eq!(cache.stamp(), &stamp(1));
    }

    #[test]
    fn what_comes_from_a_writing_that_was_never_heard_of_is_not_confirmed() {
        let mut cache = cache();
        // Redis answered when it had the second stamp, and lost that in a failover.
        cache.keep(4, entry(4), &stamp(2));
        assert_eq!(cache.confirm(), Changed::Some(vec![4]));
        assert_eq!(keyspace(&mut cache), [1, 2, 3]);
    }

    #[test]
    fn what_comes_from_a_writing_that_is_heard_of_later_is_kept() {
        let mut cache = cache();
        cache.keep(4, entry(4), &stamp(2));
        cache.receive(Some(&[1]), stamp(2), "n1");
        assert_eq!(cache.confirm(), Changed::Some(vec![]));
        assert_eq!(keyspace(&mut cache), [2, 3, 4]);
    }

    #[test]
    fn an_answer_that_is_older_than_what_was_heard_is_kept() {
        let mut cache = cache();
        cache.receive(Some(&[1]), stamp(2), "n1");
        cache.keep(4, entry(4), &stamp(1));
        assert_eq!(cache.confirm(), Changed::Some(vec![]));
        assert_eq!(keyspace(&mut cache), [2, 3, 4]);
    }

    #[test]
    fn a_write_of_our_own_is_kept_where_nothing_came_between() {
        let mut cache = cache();
        let changed = cache.wrote(&1, entry(7), &stamp(2), "n1");
        assert_eq!(changed, Changed::Some(vec![1]));
        assert_eq!(keyspace(&mut cache), [1, 2, 3]);
        assert_eq!(cache.receive(Some(&[1]), stamp(2), "n1"), Changed::Nothing);
        assert_eq!(keyspace(&mut cache), [1, 2, 3]);
    }

    #[test]
    fn our_own_writes_that_are_heard_of_late_change_nothing() {
        let mut cache = cache();
        cache.wrote(&1, entry(7), &stamp(2), "n1");
        cache.wrote(&2, entry(8), &stamp(3), "n2");
        assert_eq!(cache.receive(Some(&[1]), stamp(2), "n1"), Changed::Nothing);
        assert_eq!(cache.receive(Some(&[2]), stamp(3), "n2"), Changed::Nothing);
        assert_eq!(keyspace(&mut cache), [1, 2, 3]);
    }

    #[test]
    fn clearing_all_is_one_change_as_any_other() {
        let mut cache = cache();
        assert_eq!(cache.receive(None, stamp(2), "n1"), Changed::All);
        assert!(keyspace(&mut cache).is_empty());
        assert_eq!(cache.receive(None, stamp(2), "n1"), Changed::Nothing);
        assert_eq!(
            cache.receive(Some(&[1]), stamp(3), "n2"),
            Changed::Some(vec![1])
        );
    }

    #[test]
    fn a_write_of_our_own_that_was_heard_before_its_answer_is_kept() {
        let mut cache = cache();
        cache.receive(Some(&[1]), stamp(2), "n1");
        let changed = cache.wrote(&1, entry(7), &stamp(2), "n1");
        assert_eq!(changed, Changed::Nothing);
        assert_eq!(keyspace(&mut cache), [1, 2, 3]);
    }

    #[test]
    fn a_write_of_our_own_is_read_again_where_others_wrote_meanwhile() {
        let mut cache = cache();
        assert_eq!(cache.wrote(&1, entry(7), &stamp(3), "n2"), Changed::Nothing);
        assert_eq!(keyspace(&mut cache), [2, 3]);
        assert_eq!(cache.stamp(), &stamp(1));
    }

    #[test]
    fn an_answer_that_another_one_overtook_is_not_kept() {
        let mut cache = Cache::new(10);
        cache.keep(1, entry(1), &stamp(2));
        // The second change was of this entry.
        cache.keep(2, entry(2), &stamp(1));
        assert_eq!(keyspace(&mut cache), [1]);
        assert_eq!(
            cache.receive(Some(&[2]), stamp(2), "n1"),
            Changed::Some(vec![2])
        );
        assert_eq!(keyspace(&mut cache), [1]);
    }

    #[test]
    fn a_write_of_our_own_that_an_answer_brought_first_is_told_once() {
        let mut cache = Cache::new(10);
        cache.keep(2, entry(2), &stamp(2));
        let changed = cache.wrote(&1, entry(7), &stamp(2), "n1");
        assert_eq!(changed, Changed::Some(vec![1]));
        assert_eq!(cache.receive(Some(&[1]), stamp(2), "n1"), Changed::Nothing);
        assert_eq!(keyspace(&mut cache), [1, 2]);
    }

    #[test]
    fn a_change_of_what_is_no_key_here_is_one_step_and_drops_nothing() {
        let mut cache = cache();
        assert_eq!(
            cache.receive(Some(&[]), stamp(2), "n1"),
            Changed::Some(vec![])
        );
        assert_eq!(keyspace(&mut cache), [1, 2, 3]);
        assert_eq!(cache.stamp(), &stamp(2));
    }

    #[test]
    fn a_read_that_was_overtaken_is_joined_by_nobody() {
        let mut cache = cache();
        let ticket = cache.reading.ticket();
        let (_, load) = watch::channel(None);
        let loading = cache.loading.ticket();
        cache.loading.begin(2, loading, load);
        cache.receive(Some(&[2]), stamp(2), "n1");
        assert!(!cache.reading.end(&2, ticket));
        assert!(!cache.loading.end(&2, loading));
    }
}
