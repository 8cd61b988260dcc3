//! The entries of a map in memory, equal to the scripts for Redis. No I/O.

use std::collections::{BTreeMap, HashMap};

use crate::keyspace::map::{NewEntry, WriteCondition};
use crate::memory::now;
use crate::task::milliseconds;

#[derive(Debug, Default)]
pub(crate) struct StoredMap {
    pub(super) entries: BTreeMap<String, StoredEntry>,
    pub(super) leases: HashMap<String, String>,
    /// The end of the last entry, with which the hash expires in Redis; `None` if an entry has no end.
    ends: Option<u64>,
}

#[derive(Debug)]
pub(super) struct StoredEntry {
    number: u64,
    nonce: String,
    pub(super) is_negative: bool,
    ends: Option<u64>,
    pub(super) bytes: Vec<u8>,
}

impl StoredMap {
    /// Removes all entries once the last of them has expired. Until then, Redis counts an expired entry.
    pub(super) fn expire(&mut self) {
        if self.ends.is_some_and(|ends| ends <= now()) {
            self.entries.clear();
        }
    }

    /// Returns the entry, unless it has expired.
    pub(super) fn unexpired(&self, field: &str) -> Option<&StoredEntry> {
        let is_unexpired = |entry: &&StoredEntry| entry.ends.is_none_or(|ends| ends > now());
        self.entries.get(field).filter(is_unexpired)
    }

    pub(super) fn allows(&self, field: &str, condition: &WriteCondition) -> bool {
        let is = self.unexpired(field);
        match condition {
            WriteCondition::Always => true,
            WriteCondition::IfNonce(nonce) => is.map_or("", |entry| &*entry.nonce) == nonce,
            WriteCondition::IfLeased(lease) => {
                is.is_none_or(|entry| entry.is_negative) && self.leases.get(field) == Some(lease)
            }
        }
    }

    pub(super) fn write(&mut self, new: NewEntry) {
        let number = self
            .unexpired(&new.field)
            .map_or(1, |entry| entry.number + 1);
        let ends = new.ttl.map(|ttl| now().saturating_add(milliseconds(ttl)));
        let last = if self.entries.is_empty() {
            Some(0)
        } else {
            self.ends
        };
        self.ends = last.zip(ends).map(|(last, ends)| last.max(ends));
        let end = ends.map_or_else(String::new, |ends| format!("@{ends}"));
        let mut bytes = format!("{} {number}{end} {} ", new.format(), new.nonce).into_bytes();
        bytes.extend_from_slice(new.payload.as_deref().unwrap_or_default());
        let entry = StoredEntry {
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
