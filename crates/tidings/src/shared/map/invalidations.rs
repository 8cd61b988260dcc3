//! Invalidations that Redis has not taken yet. No I/O.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// The maximal number of keys that wait to be sent again. Beyond it the whole map is invalid.
pub(crate) const MAX_KEYS: usize = 10_000;

/// The entries in Redis that this process has invalidated and Redis has not removed yet. They are
/// not read, served or stored.
#[derive(Debug)]
pub(crate) struct Invalidations<K> {
    keys: HashMap<K, Generation, RandomState>,
    /// The number of calls that wait for an answer. Each has at most one of the keys.
    calls: usize,
    /// The invalidation of the whole map, once there were too many keys.
    all: Option<Generation>,
    last: Generation,
    /// A task repeats them.
    pub(crate) is_repeating: bool,
}

/// Orders invalidations. A later one of the same key must be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

impl<K> Default for Invalidations<K> {
    fn default() -> Self {
        Self {
            keys: HashMap::default(),
            calls: 0,
            all: None,
            last: Generation(0),
            is_repeating: false,
        }
    }
}

impl<K: Clone + Eq + Hash> Invalidations<K> {
    /// Adds an invalidation that a call sends. The caller ends the call.
    pub(crate) fn begin_call(&mut self, key: &K) -> Generation {
        self.last.0 += 1;
        self.calls += 1;
        self.keys.insert(key.clone(), self.last);
        self.last
    }

    /// Ends a call. If Redis did not accept its invalidation, that has to be sent again. Returns
    /// whether there are now too many of these, so that the whole map is invalid.
    pub(crate) fn end_call(&mut self) -> bool {
        self.calls -= 1;
        // The keys of other calls do not count: Redis may accept them.
        let is_full = self.keys.len() > MAX_KEYS + self.calls;
        if is_full {
            self.keys = HashMap::default();
            self.all = Some(self.last);
        }
        is_full
    }

    /// Returns whether this entry must not be read or stored.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.all.is_some() || self.keys.contains_key(key)
    }

    /// Returns whether this invalidation of the key is still to be sent.
    pub(crate) fn is_pending(&self, key: &K, generation: Generation) -> bool {
        self.keys.get(key) == Some(&generation)
    }

    /// Returns the newest generation of any key.
    pub(crate) fn last(&self) -> Generation {
        self.last
    }

    /// If the whole map is invalid, returns the newest generation, which includes those of keys.
    pub(crate) fn all(&self) -> Option<Generation> {
        self.all.map(|_| self.last)
    }

    /// Redis accepted the invalidation of this key, or an entry newer than it. Later ones stay.
    pub(crate) fn confirm(&mut self, key: &K, until: Generation) {
        if self
            .keys
            .get(key)
            .is_some_and(|generation| *generation <= until)
        {
            self.keys.remove(key);
        }
    }

    /// Redis holds no entry that is older than this generation.
    pub(crate) fn confirm_all(&mut self, until: Generation) {
        self.all = self.all.filter(|all| *all > until);
        self.keys.retain(|_, generation| *generation > until);
    }

    /// Returns the next ones to send: some keys, or the whole map.
    pub(crate) fn next(&self, max: usize) -> Option<Next<K>> {
        if self.all.is_some() {
            return Some(Next::All);
        }
        let keys = self.keys.iter().take(max);
        let keys: Vec<_> = keys
            .map(|(key, generation)| (key.clone(), *generation))
            .collect();
        (!keys.is_empty()).then_some(Next::Keys(keys))
    }

    /// Returns the number of keys; `None` for the whole map.
    pub(crate) fn len(&self) -> Option<usize> {
        self.all.is_none().then_some(self.keys.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_none() && self.keys.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.keys = HashMap::default();
        self.all = None;
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<K> {
    Keys(Vec<(K, Generation)>),
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds an invalidation that Redis does not accept.
    fn fail(invalidations: &mut Invalidations<usize>, key: usize) -> Generation {
        let generation = invalidations.begin_call(&key);
        invalidations.end_call();
        generation
    }

    #[test]
    fn a_second_invalidation_during_the_first_is_sent_again() {
        let mut invalidations = Invalidations::default();
        let first = fail(&mut invalidations, 7);
        let second = fail(&mut invalidations, 7);
        invalidations.confirm(&7, first);
        assert_eq!(invalidations.next(10), Some(Next::Keys(vec![(7, second)])));
        invalidations.confirm(&7, second);
        assert!(invalidations.is_empty() && !invalidations.contains(&7));
    }

    #[test]
    fn too_many_invalidations_become_one_of_the_whole_map() {
        let mut invalidations = Invalidations::default();
        for key in 0..MAX_KEYS {
            fail(&mut invalidations, key);
        }
        assert_eq!(invalidations.len(), Some(MAX_KEYS));
        assert!(!invalidations.contains(&MAX_KEYS));
        fail(&mut invalidations, 7);
        assert_eq!(invalidations.len(), Some(MAX_KEYS), "a known key adds none");

        fail(&mut invalidations, MAX_KEYS);

        assert_eq!(invalidations.next(10), Some(Next::All));
        assert!(invalidations.contains(&(MAX_KEYS + 1)));
        fail(&mut invalidations, 7);
        let all = invalidations.all().unwrap();
        invalidations.confirm_all(all);
        assert!(invalidations.is_empty());
    }

    #[test]
    fn only_keys_without_a_call_count_as_too_many() {
        let mut invalidations = Invalidations::default();
        for key in 0..=MAX_KEYS {
            invalidations.begin_call(&key);
        }
        for _ in 0..MAX_KEYS {
            assert!(!invalidations.end_call());
        }
        assert_eq!(invalidations.len(), Some(MAX_KEYS + 1));
        assert!(invalidations.end_call());
        assert_eq!(invalidations.len(), None);
    }

    #[test]
    fn invalidations_while_that_of_the_whole_map_is_sent_stay_single() {
        let mut invalidations = Invalidations::default();
        for key in 0..=MAX_KEYS {
            fail(&mut invalidations, key);
        }
        let sent = invalidations.all().unwrap();
        let later = fail(&mut invalidations, 7);

        invalidations.confirm_all(sent);

        assert!(invalidations.contains(&7) && !invalidations.contains(&8));
        assert_eq!(invalidations.next(10), Some(Next::Keys(vec![(7, later)])));
    }
}
