//! Shared values in memory, as Redis keeps them.

use std::time::Duration;

use crate::keyspace::answer::{Answer, KeyError};
use crate::keyspace::memory::MemoryKeys;
use crate::keyspace::stamp::Stamp;
use crate::keyspace::value::{
    Attempt, CLEARED_LASTS_MS, Cleared, Clearing, Found, Restoring, Values, Writing, Written,
    inlined, notice,
};

impl Values for MemoryKeys {
    fn read(&self, key: &str) -> Answer<Found> {
        self.look(|stored| stored.found(key))
    }

    fn stamps(&self, keys: Vec<String>) -> Answer<Vec<Result<Stamp, KeyError>>> {
        self.look(|stored| {
            keys.iter()
                .map(|key| Ok(stored.found(key).stamp()))
                .collect()
        })
    }

    fn write(&self, key: &str, writing: Writing) -> Answer<Attempt> {
        let key = key.to_owned();
        self.change(move |stored| {
            let found = stored.found(&key);
            let (was, ttl) = (found.stamp().nonce, writing.time_to_live);
            if writing.expected.is_some_and(|expected| expected != was) {
                return (Attempt::Overtaken(found), None);
            }
            let (version, nonce) = (next(&found, writing.version), writing.nonce);
            let inline = inlined(writing.inline.as_deref(), ttl);
            let notice = notice(&writing.name, version, &nonce, &was, &inline);
            let value = Written {
                format: writing.format.to_string(),
                payload: writing.payload,
                stamp: Stamp { version, nonce },
                expires: ttl.is_some(),
                is_restored: false,
            };
            stored.put(key, Found::Value(value), ttl);
            (Attempt::Done { version, was }, Some(notice))
        })
    }

    fn clear(&self, key: &str, clearing: Clearing) -> Answer<Cleared> {
        let key = key.to_owned();
        self.change(move |stored| {
            let found = stored.found(&key);
            let (version, was) = (next(&found, clearing.version), found.stamp().nonce);
            let Clearing { name, nonce, .. } = clearing;
            let notice = notice(&name, version, &nonce, &was, br#","cleared":true"#);
            let stamp = Stamp { version, nonce };
            let lasts = Duration::from_millis(CLEARED_LASTS_MS);
            stored.put(key, Found::cleared(stamp), Some(lasts));
            ((version, was), Some(notice))
        })
    }

    /// Memory loses nothing.
    fn restore(&self, _: &str, _: Restoring) -> Answer<bool> {
        self.look(|_| false)
    }
}

/// The version that follows what was found; where that is nothing, the one that follows a copy's.
fn next(found: &Found, copy: u64) -> u64 {
    match found {
        Found::Nothing => copy + 1,
        found => found.stamp().version + 1,
    }
}
