//! The operations on maps, in memory.

use crate::keyspace::answer::Answer;
use crate::keyspace::map::entries::{Entry, Map, now};
use crate::keyspace::map::{Found, Maps, Moved, NewEntry, Page, Written, notice_end};
use crate::keyspace::memory::{InMemory, MemoryKeys};
use crate::keyspace::stamp::Stamp;
use crate::keyspace::value;
use crate::namespace::MapKeys;

impl InMemory {
    fn map(&mut self, keys: &MapKeys) -> &mut Map {
        self.maps.entry(keys.entries.clone()).or_default()
    }

    fn entry(&mut self, keys: &MapKeys, field: &str) -> Found {
        let entry = self.map(keys).living(field);
        Found {
            entry: entry.map(|entry| entry.bytes.clone()),
            stamp: self.found(&keys.stamp).stamp(),
            now: now(),
        }
    }

    /// The stamp moves on, and this is what announces it.
    fn advance(
        &mut self,
        keys: &MapKeys,
        field: Option<&str>,
        nonce: String,
    ) -> (Moved, Option<Vec<u8>>) {
        let Stamp {
            version,
            nonce: was,
        } = self.found(&keys.stamp).stamp();
        let version = version + 1;
        let moved = Moved { version, was };
        let notice = keys.notice(field) + &notice_end(&moved, &nonce);
        let stamp = value::Found::cleared(Stamp { version, nonce });
        self.put(keys.stamp.clone(), stamp, None);
        (moved, Some(notice.into_bytes()))
    }
}

impl Maps for MemoryKeys {
    fn entry(&self, map: &MapKeys, field: &str) -> Answer<Found> {
        self.look(|stored| stored.entry(map, field))
    }

    fn write_entry(&self, map: &MapKeys, new: NewEntry) -> Answer<Written> {
        let map = map.clone();
        self.change(move |stored| {
            if !stored.map(&map).allows(&new.field, &new.only) {
                return (Written::Not(stored.entry(&map, &new.field)), None);
            }
            let (moved, notice) = stored.advance(&map, Some(&new.field), new.nonce.clone());
            stored.map(&map).write(new);
            (Written::Done(moved), notice)
        })
    }

    fn remove_entry(&self, map: &MapKeys, field: &str, nonce: &str) -> Answer<Moved> {
        let (map, field, nonce) = (map.clone(), field.to_owned(), nonce.to_owned());
        self.change(move |stored| {
            stored.map(&map).entries.remove(&field);
            stored.map(&map).leases.remove(&field);
            stored.advance(&map, Some(&field), nonce)
        })
    }

    fn clear_map(&self, map: &MapKeys, nonce: &str) -> Answer<Moved> {
        let (map, nonce) = (map.clone(), nonce.to_owned());
        self.change(move |stored| {
            *stored.map(&map) = Map::default();
            stored.advance(&map, None, nonce)
        })
    }

    fn lease(
        &self,
        map: &MapKeys,
        field: &str,
        lease: &str,
        negative_will_do: bool,
    ) -> Answer<(Found, String)> {
        self.look(|stored| {
            let mut found = stored.entry(map, field);
            let map = stored.map(map);
            if map.living(field).is_some_and(|entry| entry.is_negative) && !negative_will_do {
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
        self.look(|stored| stored.map(map).entries.len() as u64)
    }

    fn page(&self, map: &MapKeys, _from: u64) -> Answer<Page> {
        self.look(|stored| {
            let entries = stored.map(map).entries.iter();
            let bytes = |(field, entry): (&String, &Entry)| {
                (field.clone().into_bytes(), entry.bytes.clone())
            };
            Page {
                next: 0,
                entries: entries.map(bytes).collect(),
                now: now(),
            }
        })
    }
}
