//! A table of bounded size: where there is no more room, something goes that was not used of late.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// A hand goes round: what was used since it came by last stays, what was not goes.
#[derive(Debug)]
pub(crate) struct Clock<K, T> {
    index: HashMap<K, usize, RandomState>,
    places: Vec<Place<K, T>>,
    hand: usize,
    capacity: usize,
    gone: Vec<Place<K, T>>,
}

/// What went, to be dropped where no lock is held.
#[derive(Debug)]
pub(crate) struct Place<K, T> {
    key: K,
    item: T,
    was_used: bool,
}

impl<K, T> Clock<K, T> {
    pub(crate) fn take_gone(&mut self) -> Vec<Place<K, T>> {
        std::mem::take(&mut self.gone)
    }

    /// All that is here, and all that is gone.
    pub(crate) fn take_all(&mut self) -> Vec<Place<K, T>> {
        self.index = HashMap::default();
        self.gone.append(&mut self.places);
        self.take_gone()
    }
}

impl<K: Clone + Eq + Hash, T> Clock<K, T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            index: HashMap::default(),
            places: Vec::new(),
            hand: 0,
            capacity,
            gone: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<&T> {
        let place = &mut self.places[*self.index.get(key)?];
        place.was_used = true;
        Some(&place.item)
    }

    /// The key that had to go for it, if one had: this one, where there is no room at all.
    pub(crate) fn insert(&mut self, key: K, item: T) -> Option<K> {
        let place = Place {
            key: key.clone(),
            item,
            was_used: false,
        };
        if let Some(index) = self.index.get(&key) {
            self.gone
                .push(std::mem::replace(&mut self.places[*index], place));
            return None;
        }
        if self.capacity == 0 {
            self.gone.push(place);
            return Some(key);
        }
        if self.places.len() < self.capacity {
            self.index.insert(key, self.places.len());
            self.places.push(place);
            return None;
        }
        let index = self.unused();
        let former = std::mem::replace(&mut self.places[index], place);
        let gone = self.index.remove_entry(&former.key).map(|(key, _)| key);
        self.gone.push(former);
        self.index.insert(key, index);
        gone
    }

    pub(crate) fn remove(&mut self, key: &K) {
        let Some(index) = self.index.remove(key) else {
            return;
        };
        self.gone.push(self.places.swap_remove(index));
        if let Some(moved) = self.places.get(index) {
            self.index.insert(moved.key.clone(), index);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.gone.append(&mut self.places);
    }

    fn unused(&mut self) -> usize {
        loop {
            let index = self.hand % self.places.len();
            self.hand = index + 1;
            if !std::mem::take(&mut self.places[index].was_used) {
                return index;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_goes_first() {
        let mut clock = Clock::new(3);
        for key in 1..=3 {
            assert_eq!(clock.insert(key, key), None);
        }
        clock.get(&1);
        assert_eq!(clock.insert(4, 4), Some(2));
        clock.get(&3);
        assert_eq!(clock.insert(5, 5), Some(1));
        assert_eq!(clock.get(&3), Some(&3));
        assert_eq!(clock.get(&4), Some(&4));
    }

    #[test]
    fn what_is_taken_out_leaves_the_others_where_they_are_found() {
        let mut clock = Clock::new(3);
        (1..=3).for_each(|key| assert_eq!(clock.insert(key, key * 10), None));
        clock.remove(&1);
        clock.remove(&7);
        assert_eq!(clock.get(&1), None);
        assert_eq!(
            (clock.get(&2).copied(), clock.get(&3).copied()),
            (Some(20), Some(30))
        );
        assert_eq!(clock.insert(4, 40), None);
        assert!(clock.insert(5, 50).is_some());
    }

    #[test]
    fn no_room_at_all_keeps_nothing() {
        let mut clock = Clock::new(0);
        assert_eq!(clock.insert(1, 1), Some(1));
        assert!(clock.is_empty());
    }
}
