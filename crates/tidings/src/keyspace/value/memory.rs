//! Shared values in memory, equal to the scripts for Redis.

use std::time::Duration;

use crate::keyspace::answer::{Answer, NotDone};
use crate::keyspace::memory::MemoryKeys;
use crate::keyspace::stamp::{Moved, Stamp};
use crate::keyspace::value::{
    CLEARED_TTL_MS, Found, FoundStamp, Restoring, StampKeys, Values, Writing, Written, inlined,
    notification,
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
                    stamp: stored.found(&keys.stamp).stamp,
                    has_no_entries: false,
                })
            };
            keys.iter().map(found).collect()
        })
    }

    fn write(&self, key: &str, writing: Writing) -> Answer<Result<Moved, Found>> {
        let key = key.to_owned();
        self.change(move |stored| {
            let found = stored.found(&key);
            let expected = writing.expected;
            if expected.is_some_and(|expected| expected != found.stamp.nonce) {
                return (Err(found), None);
            }
            let ttl = writing.time_to_live;
            let value = Written {
                format: writing.format.to_string(),
                payload: writing.payload,
                expires: ttl.is_some(),
            };
            let moved = next(found, writing.version, writing.nonce);
            let inline = inlined(writing.inline.as_deref(), ttl);
            let notification = notification(&writing.name, &moved, &inline);
            stored.put(key, Found::after(&moved, Some(value)), ttl);
            (Ok(moved), Some(notification))
        })
    }

    fn clear(&self, key: &str, name: &str, nonce: String, version: u64) -> Answer<Moved> {
        let (key, name) = (key.to_owned(), name.to_owned());
        self.change(move |stored| {
            let moved = next(stored.found(&key), version, nonce);
            let notification = notification(&name, &moved, br#","cleared":true"#);
            let ttl = Duration::from_millis(CLEARED_TTL_MS);
            stored.put(key, Found::after(&moved, None), Some(ttl));
            (moved, Some(notification))
        })
    }

    /// Memory loses nothing.
    fn restore(&self, _: &str, _: Restoring) -> Answer<bool> {
        self.query(|_| false)
    }
}

/// Returns the change to the version after the one found; if there is none, after that of the copy.
fn next(found: Found, copy: u64, nonce: String) -> Moved {
    let is_nothing = found.is_nothing();
    let Stamp {
        version,
        nonce: was,
    } = found.stamp;
    let before = if is_nothing { copy } else { version };
    Moved::to(before + 1, nonce, was)
}
