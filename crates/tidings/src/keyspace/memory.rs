//! Keys that are kept in memory, in place of Redis.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::keyspace::answer::KeyError;
use crate::keyspace::hashes::Hash;
use crate::keyspace::{map, member_list};
use crate::memory::Place;

/// What is kept in memory, in place of Redis.
#[derive(Debug, Default)]
pub(crate) struct InMemory {
    pub(super) counts: HashMap<String, i64>,
    pub(super) maps: map::InMemory,
    pub(crate) hashes: HashMap<String, Hash>,
    pub(super) rolls: member_list::InMemory,
}

impl InMemory {
    /// What lies under the key, unless its time is up.
    pub(crate) fn hash(&mut self, key: &str) -> Option<&Hash> {
        let is_over = |hash: &Hash| {
            hash.expires
                .is_some_and(|expires| expires <= Instant::now())
        };
        if self.hashes.get(key).is_some_and(is_over) {
            self.hashes.remove(key);
        }
        self.hashes.get(key)
    }
}

/// What those who meet at a place keep together, for as long as one of them is there.
#[derive(Clone, Debug)]
pub(crate) struct MemoryKeys {
    pub(crate) place: Arc<Place>,
}

impl MemoryKeys {
    pub(crate) fn lock(&self) -> MutexGuard<'_, InMemory> {
        let kept = self.place.kept::<Mutex<InMemory>>();
        kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is kept and announces that with frames, as one step.
    pub(crate) async fn change<T, F: IntoIterator<Item = Vec<u8>>>(
        &self,
        change: impl FnOnce(&mut InMemory) -> Result<(T, F), KeyError>,
    ) -> Result<T, KeyError> {
        let change = || change(&mut self.lock());
        self.place.change(change).await
    }
}
