//! Shared values in memory, equal to the scripts for Redis.

use std::time::Duration;

use crate::keyspace::answer::{Answer, NotDone};
use crate::keyspace::memory::MemoryKeys;
use crate::keyspace::stamp::Stamp;
use crate::keyspace::value::{
    Attempt, CLEARED_TTL_MS, Cleared, Clearing, Found, FoundStamp, Restoring, StampKeys, Values,
    Writing, Written, inlined, notification,
};

impl Values for MemoryKeys {
    fn read(&self, key: &str) -> Answer<Found> {
        self.query(|stored| stored.found(key))
    }

    /// Memory loses no entries.
    fn stamps(&self, keys: Vec<StampKeys>) -> Answer<Vec<Result<FoundStamp, NotDone>>> {
        self.query(|stored| {
            let found = |keys: &StampKeys| {
                Ok(FoundStamp {
                    stamp: stored.found(&keys.stamp).stamp(),
                    has_no_entries: false,
                })
            };
            keys.iter().map(found).collect()
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
            let notification = notification(&writing.name, version, &nonce, &was, &inline);
            let value = Written {
                format: writing.format.to_string(),
                payload: writing.payload,
                stamp: Stamp { version, nonce },
                expires: ttl.is_some(),
                is_restored: false,
            };
            stored.put(key, Found::Value(value), ttl);
            (Attempt::Done { version, was }, Some(notification))
        })
    }

    fn clear(&self, key: &str, clearing: Clearing) -> Answer<Cleared> {
        let key = key.to_owned();
        self.change(move |stored| {
            let found = stored.found(&key);
            let (version, was) = (next(&found, clearing.version), found.stamp().nonce);
            let Clearing { name, nonce, .. } = clearing;
            let notification = notification(&name, version, &nonce, &was, br#","cleared":true"#);
            let stamp = Stamp { version, nonce };
            let ttl = Duration::from_millis(CLEARED_TTL_MS);
            stored.put(key, Found::cleared(stamp), Some(ttl));
            ((version, was), Some(notification))
        })
    }

    /// Memory loses nothing.
    fn restore(&self, _: &str, _: Restoring) -> Answer<bool> {
        self.query(|_| false)
    }
}

/// Returns the version after the one found; if there is none, after that of the copy.
fn next(found: &Found, copy: u64) -> u64 {
    match found {
        Found::Nothing => copy + 1,
        found => found.stamp().version + 1,
    }
}
