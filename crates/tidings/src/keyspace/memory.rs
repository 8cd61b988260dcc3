//! The keyspace of `memory:` addresses.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::keyspace::answer::Answer;
use crate::keyspace::journal::stored::StoredJournal;
use crate::keyspace::map::stored::StoredMap;
use crate::keyspace::member_list::stored::StoredMembers;
use crate::keyspace::value::Found;
use crate::memory::Place;
use crate::namespace::MemberKeys;
use crate::task::mutex::Mutex;

/// All data of a namespace in memory.
#[derive(Debug, Default)]
pub(crate) struct InMemory {
    pub(super) counts: HashMap<String, i64>,
    pub(super) values: HashMap<String, StoredValue>,
    /// By the key of the entries.
    pub(super) maps: HashMap<String, StoredMap>,
    pub(super) member_lists: HashMap<MemberKeys, StoredMembers>,
    pub(super) journal: StoredJournal,
}

/// A value and its expiry.
#[derive(Debug)]
pub(super) struct StoredValue {
    found: Found,
    until: Option<Instant>,
}

impl InMemory {
    /// Returns the value, unless it has expired.
    pub(super) fn found(&self, key: &str) -> Found {
        let stored = self.values.get(key);
        let stored =
            stored.filter(|stored| stored.until.is_none_or(|until| until > Instant::now()));
        stored.map_or_else(Found::default, |stored| stored.found.clone())
    }

    pub(super) fn put(&mut self, key: String, found: Found, ttl: Option<Duration>) {
        let until = ttl.map(|ttl| Instant::now() + ttl);
        self.values.insert(key, StoredValue { found, until });
    }
}

/// The keyspace of a memory place, for as long as a bus uses it.
#[derive(Clone, Debug)]
pub(crate) struct MemoryKeys {
    pub(crate) place: Arc<Place>,
}

impl MemoryKeys {
    pub(super) fn lock(&self) -> MutexGuard<'_, InMemory> {
        let stored = self.place.stored::<Mutex<InMemory>>();
        stored.lock()
    }

    /// Runs an operation that sends no notification.
    pub(super) fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut InMemory) -> T,
    ) -> Answer<T> {
        Box::pin(ready(Ok(query(&mut self.lock()))))
    }

    /// Changes the data and sends notifications, atomically.
    pub(super) fn change<T: Send + 'static, F: IntoIterator<Item = Vec<u8>>>(
        &self,
        change: impl FnOnce(&mut InMemory) -> (T, F) + Send + 'static,
    ) -> Answer<T> {
        let keys = self.clone();
        Box::pin(async move {
            let change = || change(&mut keys.lock());
            Ok(keys.place.change(change).await)
        })
    }
}
