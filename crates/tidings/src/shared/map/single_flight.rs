//! What is under way for which key, until it arrives or is overtaken.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// At most one thing is under way for a key, and others may join it. What is forgotten goes on, but
/// nobody joins it any more, and what it brings is not kept.
#[derive(Debug)]
pub(crate) struct SingleFlight<K, F> {
    by_key: HashMap<K, (Ticket, F), RandomState>,
    next: Ticket,
}

pub(crate) type Ticket = u64;

impl<K, F> Default for SingleFlight<K, F> {
    fn default() -> Self {
        Self {
            by_key: HashMap::default(),
            next: 1,
        }
    }
}

impl<K: Clone + Eq + Hash, F> SingleFlight<K, F> {
    pub(crate) fn of(&self, key: &K) -> Option<&F> {
        self.by_key.get(key).map(|(_, flight)| flight)
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.next += 1;
        self.next
    }

    pub(crate) fn begin(&mut self, key: K, ticket: Ticket, flight: F) {
        self.by_key.insert(key, (ticket, flight));
    }

    /// Whether it is under way, and was not overtaken.
    pub(crate) fn has(&self, key: &K, ticket: Ticket) -> bool {
        let under_way = self.by_key.get(key);
        under_way.is_some_and(|(current, _)| *current == ticket)
    }

    /// It has arrived, or was given up; whether it was not overtaken.
    pub(crate) fn end(&mut self, key: &K, ticket: Ticket) -> bool {
        let is_current = self.has(key, ticket);
        if is_current {
            self.by_key.remove(key);
        }
        is_current
    }

    pub(crate) fn forget(&mut self, key: &K) {
        self.by_key.remove(key);
    }

    pub(crate) fn clear(&mut self) {
        self.by_key.clear();
    }
}
