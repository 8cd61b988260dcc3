//! The entries of a map in memory, as the scripts keep them in Redis. No I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use tokio::time::Instant;

use crate::keyspace::map::{NewEntry, Only};
use crate::keyspace::member_list::milliseconds;

#[derive(Debug, Default)]
pub(crate) struct Map {
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) leases: HashMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Entry {
    number: u64,
    nonce: String,
    pub(super) is_negative: bool,
    ends: Option<u64>,
    pub(super) bytes: Vec<u8>,
}

/// The time in milliseconds, since the first call and a moment.
pub(super) fn now() -> u64 {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    milliseconds(FIRST.elapsed()).saturating_add(1)
}

impl Map {
    /// The entry, if its end has not come.
    pub(super) fn living(&self, field: &str) -> Option<&Entry> {
        let is_living = |entry: &&Entry| entry.ends.is_none_or(|ends| ends > now());
        self.entries.get(field).filter(is_living)
    }

    pub(super) fn allows(&self, field: &str, only: &Only) -> bool {
        let is = self.living(field);
        match only {
            Only::Always => true,
            Only::IfIs(nonce) => is.map_or("", |entry| &*entry.nonce) == nonce,
            Only::IfLeased(lease) => {
                is.is_none_or(|entry| entry.is_negative) && self.leases.get(field) == Some(lease)
            }
        }
    }

    pub(super) fn write(&mut self, new: NewEntry) {
        let number = self.living(&new.field).map_or(1, |entry| entry.number + 1);
        let ends = new.ttl.map(|ttl| now().saturating_add(milliseconds(ttl)));
        let end = ends.map_or_else(String::new, |ends| format!("@{ends}"));
        let mut bytes = format!("{} {number}{end} {} ", new.format(), new.nonce).into_bytes();
        bytes.extend_from_slice(new.payload.as_deref().unwrap_or_default());
        let entry = Entry {
            number,
            nonce: new.nonce,
            is_negative: new.payload.is_none(),
            ends,
            bytes,
        };
        self.leases.remove(&new.field);
        self.entries.insert(new.field, entry);
    }
}
