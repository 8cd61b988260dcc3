//! The operations on maps, in memory.

use crate::keyspace::answer::Answer;
use crate::keyspace::map::stored::{StoredEntry, StoredMap};
use crate::keyspace::map::{Found, Maps, NewEntry, Page, notification_end};
use crate::keyspace::memory::{InMemory, MemoryKeys};
use crate::keyspace::stamp::Moved;
use crate::keyspace::value;
use crate::memory::now;
use crate::namespace::MapKeys;

impl InMemory {
    fn map(&mut self, keys: &MapKeys) -> &mut StoredMap {
        let map = self.maps.entry(keys.entries.clone()).or_default();
        map.expire();
        map
    }

    fn entry(&mut self, keys: &MapKeys, field: &str) -> Found {
        let entry = self.map(keys).unexpired(field);
        Found {
            entry: entry.map(|entry| entry.bytes.clone()),
            stamp: self.found(&keys.stamp).stamp,
            now: now(),
        }
    }

    /// Advances the stamp, and returns the notification.
    fn advance(
        &mut self,
        keys: &MapKeys,
        field: Option<&str>,
        nonce: String,
    ) -> (Moved, Option<Vec<u8>>) {
        let was = self.found(&keys.stamp).stamp;
        let moved = Moved::to(was.version + 1, nonce, was.nonce);
        self.put(keys.stamp.clone(), value::Found::after(&moved, None), None);
        let notification = keys.notification(field) + &notification_end(&moved);
        (moved, Some(notification.into_bytes()))
    }
}

impl Maps for MemoryKeys {
    fn entry(&self, map: &MapKeys, field: &str) -> Answer<Found> {
        self.query(|stored| stored.entry(map, field))
    }

    fn write_entry(&self, map: &MapKeys, new: NewEntry) -> Answer<Result<Moved, Found>> {
        let map = map.clone();
        self.change(move |stored| {
            if !stored.map(&map).allows(&new.field, &new.condition) {
                return (Err(stored.entry(&map, &new.field)), None);
            }
            let (moved, notification) = stored.advance(&map, Some(&new.field), new.nonce.clone());
            stored.map(&map).write(new);
            (Ok(moved), notification)
        })
    }

    fn remove_entries(&self, map: &MapKeys, field: Option<&str>, nonce: String) -> Answer<Moved> {
        let (map, field) = (map.clone(), field.map(str::to_owned));
        self.change(move |stored| {
            let entries = stored.map(&map);
            if let Some(field) = &field {
                entries.entries.remove(field);
                entries.leases.remove(field);
            } else {
                *entries = StoredMap::default();
            }
            stored.advance(&map, field.as_deref(), nonce)
        })
    }

    fn lease(
        &self,
        map: &MapKeys,
        field: &str,
        lease: &str,
        accepts_negative: bool,
    ) -> Answer<(Found, String)> {
        self.query(|stored| {
            let mut found = stored.entry(map, field);
            let map = stored.map(map);
            if map.unexpired(field).is_some_and(|entry| entry.is_negative) && !accepts_negative {
                found.entry = None;
            }
            if found.entry.is_some() {
                return (found, String::new());
            }
            let given = map.leases.entry(field.to_owned());
            (found, given.or_insert_with(|| lease.to_owned()).clone())
        })
    }

    fn map_len(&self, map: &MapKeys) -> Answer<u64> {
        self.query(|stored| stored.map(map).entries.len() as u64)
    }

    fn page(&self, map: &MapKeys, _from: u64) -> Answer<Page> {
        self.query(|stored| {
            let entries = stored.map(map).entries.iter();
            let bytes = |(field, entry): (&String, &StoredEntry)| {
                (field.clone().into_bytes(), entry.bytes.clone())
            };
            Page {
                next: 0,
                entries: entries.map(bytes).collect(),
                now: now(),
                from: 0,
            }
        })
    }
}
