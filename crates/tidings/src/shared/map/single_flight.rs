//! At most one operation per key, which other tasks can join. No I/O.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// The operations in progress by key. A forgotten operation goes on, but cannot be joined, and its
/// result is not cached.
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

    /// Returns whether this operation is in progress and was not forgotten.
    pub(crate) fn has(&self, key: &K, ticket: Ticket) -> bool {
        let current = self.by_key.get(key);
        current.is_some_and(|(current, _)| *current == ticket)
    }

    /// Ends an operation. Returns whether it was not forgotten.
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
