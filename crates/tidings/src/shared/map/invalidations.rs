//! Invalidations that Redis has not taken yet. No I/O.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// The maximal number of pending keys. Beyond it the whole map is invalid.
pub(crate) const MAX_KEYS: usize = 10_000;

/// The entries in Redis that this process has invalidated and Redis has not removed yet. They are
/// not read, served or stored.
#[derive(Debug)]
pub(crate) struct Invalidations<K> {
    keys: HashMap<K, Generation, RandomState>,
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
            all: None,
            last: Generation(0),
            is_repeating: false,
        }
    }
}

impl<K: Clone + Eq + Hash> Invalidations<K> {
    pub(crate) fn add(&mut self, key: &K) -> Generation {
        self.last.0 += 1;
        let is_full = self.keys.len() >= MAX_KEYS && !self.keys.contains_key(key);
        if is_full {
            self.keys = HashMap::default();
            self.all = Some(self.last);
        } else {
            self.keys.insert(key.clone(), self.last);
        }
        self.last
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
    pub(crate) fn next(&self, max: usize) -> Next<K> {
        if self.all.is_some() {
            return Next::All;
        }
        let keys = self.keys.iter().take(max);
        let keys: Vec<_> = keys
            .map(|(key, generation)| (key.clone(), *generation))
            .collect();
        if keys.is_empty() {
            Next::Nothing
        } else {
            Next::Keys(keys)
        }
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
    Nothing,
    Keys(Vec<(K, Generation)>),
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_invalidation_during_the_first_is_sent_again() {
        let mut invalidations = Invalidations::default();
        let first = invalidations.add(&7);
        let second = invalidations.add(&7);
        invalidations.confirm(&7, first);
        assert_eq!(invalidations.next(10), Next::Keys(vec![(7, second)]));
        invalidations.confirm(&7, second);
        assert!(invalidations.is_empty() && !invalidations.contains(&7));
    }

    #[test]
    fn too_many_invalidations_become_one_of_the_whole_map() {
        let mut invalidations = Invalidations::default();
        for key in 0..MAX_KEYS {
            invalidations.add(&key);
        }
        assert_eq!(invalidations.len(), Some(MAX_KEYS));
        assert!(!invalidations.contains(&MAX_KEYS));
        invalidations.add(&7);
        assert_eq!(invalidations.len(), Some(MAX_KEYS), "a known key adds none");

        invalidations.add(&MAX_KEYS);

        assert_eq!(invalidations.next(10), Next::All);
        assert!(invalidations.contains(&(MAX_KEYS + 1)));
        invalidations.add(&7);
        let all = invalidations.all().unwrap();
        invalidations.confirm_all(all);
        assert!(invalidations.is_empty());
    }

    #[test]
    fn invalidations_while_that_of_the_whole_map_is_sent_stay_single() {
        let mut invalidations = Invalidations::default();
        for key in 0..=MAX_KEYS {
            invalidations.add(&key);
        }
        let sent = invalidations.all().unwrap();
        let later = invalidations.add(&7);

        invalidations.confirm_all(sent);

        assert!(invalidations.contains(&7) && !invalidations.contains(&8));
        assert_eq!(invalidations.next(10), Next::Keys(vec![(7, later)]));
    }
}
