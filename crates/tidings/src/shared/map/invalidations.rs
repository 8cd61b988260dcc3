//! Invalidations that Redis has not taken yet. No I/O.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// How many keys wait at most. Beyond that the whole map is invalid.
pub(crate) const MOST: usize = 10_000;

/// What is out of date in Redis, as far as this process knows, until Redis was told. What is here is not
/// read, served or stored.
#[derive(Debug)]
pub(crate) struct Invalidations<K> {
    keys: HashMap<K, Turn, RandomState>,
    /// Once there were too many: that of the whole map.
    all: Option<Turn>,
    last: Turn,
    /// Whether a task repeats them.
    pub(crate) are_repeated: bool,
}

/// Tells an invalidation from a later one of the same key, which has to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(u64);

impl<K> Default for Invalidations<K> {
    fn default() -> Self {
        Self {
            keys: HashMap::default(),
            all: None,
            last: Turn(0),
            are_repeated: false,
        }
    }
}

impl<K: Clone + Eq + Hash> Invalidations<K> {
    pub(crate) fn add(&mut self, key: &K) -> Turn {
        self.last.0 += 1;
        let is_full = self.keys.len() >= MOST && !self.keys.contains_key(key);
        if is_full {
            self.keys = HashMap::default();
            self.all = Some(self.last);
        } else {
            self.keys.insert(key.clone(), self.last);
        }
        self.last
    }

    /// Whether nothing of this entry may be read or stored.
    pub(crate) fn has(&self, key: &K) -> bool {
        self.all.is_some() || self.keys.contains_key(key)
    }

    /// Whether this invalidation of the key is still to be sent.
    pub(crate) fn waits(&self, key: &K, turn: Turn) -> bool {
        self.keys.get(key) == Some(&turn)
    }

    /// The newest there has been of any key.
    pub(crate) fn last(&self) -> Turn {
        self.last
    }

    /// That of the whole map, if there is one, together with all those of keys until now.
    pub(crate) fn all(&self) -> Option<Turn> {
        self.all.map(|_| self.last)
    }

    /// Redis accepted that of this key, or a newer entry that was begun after it. A later one stays.
    pub(crate) fn took(&mut self, key: &K, until: Turn) {
        if self.keys.get(key).is_some_and(|turn| *turn <= until) {
            self.keys.remove(key);
        }
    }

    /// Redis holds no entry that was written before this one.
    pub(crate) fn took_all(&mut self, until: Turn) {
        self.all = self.all.filter(|all| *all > until);
        self.keys.retain(|_, turn| *turn > until);
    }

    /// What is to be sent: some of the keys, or all of them at once.
    pub(crate) fn next(&self, most: usize) -> Next<K> {
        if self.all.is_some() {
            return Next::All;
        }
        let keys = self.keys.iter().take(most);
        let keys: Vec<_> = keys.map(|(key, turn)| (key.clone(), *turn)).collect();
        if keys.is_empty() {
            Next::Nothing
        } else {
            Next::Keys(keys)
        }
    }

    /// How many there are; `None` for all keys of the map.
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
    Keys(Vec<(K, Turn)>),
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_that_came_meanwhile_is_sent_again() {
        let mut invalidations = Invalidations::default();
        let first = invalidations.add(&7);
        let second = invalidations.add(&7);
        invalidations.took(&7, first);
        assert_eq!(invalidations.next(10), Next::Keys(vec![(7, second)]));
        invalidations.took(&7, second);
        assert!(invalidations.is_empty() && !invalidations.has(&7));
    }

    #[test]
    fn too_many_invalidations_are_one_of_the_whole_map() {
        let mut invalidations = Invalidations::default();
        for key in 0..MOST {
            invalidations.add(&key);
        }
        assert_eq!(invalidations.len(), Some(MOST));
        assert!(!invalidations.has(&MOST));
        invalidations.add(&7);
        assert_eq!(invalidations.len(), Some(MOST), "it is there already");

        invalidations.add(&MOST);

        assert_eq!(invalidations.next(10), Next::All);
        assert!(invalidations.has(&(MOST + 1)));
        invalidations.add(&7);
        let all = invalidations.all().unwrap();
        invalidations.took_all(all);
        assert!(invalidations.is_empty());
    }

    #[test]
    fn invalidations_while_the_whole_map_is_sent_do_not_make_it_invalid_once_more() {
        let mut invalidations = Invalidations::default();
        for key in 0..=MOST {
            invalidations.add(&key);
        }
        let sent = invalidations.all().unwrap();
        let later = invalidations.add(&7);

        invalidations.took_all(sent);

        assert!(invalidations.has(&7) && !invalidations.has(&8));
        assert_eq!(invalidations.next(10), Next::Keys(vec![(7, later)]));
    }
}
