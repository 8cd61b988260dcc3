//! Keys that are kept in memory, in place of Redis.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::keyspace::answer::Answer;
use crate::keyspace::map::entries::Map;
use crate::keyspace::member_list::Keys;
use crate::keyspace::member_list::entries::Entries;
use crate::keyspace::value::Found;
use crate::memory::Place;

/// What is kept in memory, in place of Redis.
#[derive(Debug, Default)]
pub(crate) struct InMemory {
    pub(super) counts: HashMap<String, i64>,
    pub(super) values: HashMap<String, KeyspaceAccess>,
    /// By the key of the entries.
    pub(super) maps: HashMap<String, Map>,
    pub(super) member_lists: HashMap<Keys, Entries>,
}

/// What lies under a key, and until when.
#[derive(Debug)]
pub(super) struct KeyspaceAccess {
    found: Found,
    until: Option<Instant>,
}

impl InMemory {
    /// What lies under the key, unless its time to live is over.
    pub(super) fn found(&self, key: &str) -> Found {
        let stored = self.values.get(key);
        let stored =
            stored.filter(|stored| stored.until.is_none_or(|until| until > Instant::now()));
        stored.map_or(Found::Nothing, |stored| stored.found.clone())
    }

    pub(super) fn put(&mut self, key: String, found: Found, ttl: Option<Duration>) {
        let until = ttl.map(|ttl| Instant::now() + ttl);
        self.values.insert(key, KeyspaceAccess { found, until });
    }
}

/// What those who meet at a place keep together, for as long as one of them is there.
#[derive(Clone, Debug)]
pub(crate) struct MemoryKeys {
    pub(crate) place: Arc<Place>,
}

impl MemoryKeys {
    pub(super) fn lock(&self) -> MutexGuard<'_, InMemory> {
        let stored = self.place.stored::<Mutex<InMemory>>();
        stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers at once, and announces nothing.
    pub(super) fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut InMemory) -> T,
    ) -> Answer<T> {
        Box::pin(ready(Ok(look(&mut self.lock()))))
    }

    /// Changes what is kept and announces that with frames, as one step.
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
