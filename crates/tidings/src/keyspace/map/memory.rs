//! Maps in memory, as Redis keeps them.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::LazyLock;
use std::time::Duration;

use tidings_codec::Format;
use tokio::time::Instant;

use crate::keyspace::answer::Answer;
use crate::keyspace::map::{
    Found, Maps, Moved, NEGATIVE, NewEntry, Only, Page, Written, notice_end,
};
use crate::keyspace::memory::{self, MemoryKeys};
use crate::keyspace::stamp::Stamp;
use crate::namespace::MapKeys;

/// By the name of the key of the entries.
pub(crate) type InMemory = HashMap<String, Map>;

#[derive(Debug, Default)]
pub(crate) struct Map {
    entries: BTreeMap<String, Entry>,
    loading: HashMap<String, String>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    nonce: String,
    is_negative: bool,
    ends: Option<u64>,
    bytes: Vec<u8>,
}

/// The time in milliseconds, since the first call and a moment.
fn now() -> u64 {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(FIRST.elapsed().as_millis()).map_or(u64::MAX, |passed| passed + 1)
}

impl Map {
    /// The entry, if its end has not come.
    fn living(&self, field: &str) -> Option<&Entry> {
        let is_living = |entry: &&Entry| entry.ends.is_none_or(|ends| ends > now());
        self.entries.get(field).filter(is_living)
    }

    fn entry(&self, field: &str) -> Option<Vec<u8>> {
        self.living(field).map(|entry| entry.bytes.clone())
    }

    fn allows(&self, field: &str, only: Only<'_>) -> bool {
        let is = self.living(field);
        match only {
            Only::Always => true,
            Only::IfIs(nonce) => is.map_or("", |entry| &*entry.nonce) == nonce,
            Only::IfLeased(lease) => {
                is.is_none_or(|entry| entry.is_negative)
                    && self.loading.get(field).is_some_and(|given| given == lease)
            }
        }
    }

    fn write(&mut self, new: NewEntry<'_>) {
        let number = self.living(new.field).map_or(1, |entry| entry.number + 1);
        let millis = |ttl: Duration| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let ends = new.ttl.map(|ttl| now().saturating_add(millis(ttl)));
        let format = new.payload.map(|_| new.format.to_string());
        let format = format.as_deref().unwrap_or(NEGATIVE);
        let end = ends.map_or_else(String::new, |ends| format!("@{ends}"));
        let mut bytes = format!("{format} {number}{end} {} ", new.nonce).into_bytes();
        bytes.extend_from_slice(new.payload.unwrap_or_default());
        let entry = Entry {
            number,
            nonce: new.nonce.to_owned(),
            is_negative: new.payload.is_none(),
            ends,
            bytes,
        };
        self.entries.insert(new.field.to_owned(), entry);
        self.loading.remove(new.field);
    }
}

impl memory::InMemory {
    fn map(&mut self, keys: &MapKeys) -> &mut Map {
        self.maps.entry(keys.entries.clone()).or_default()
    }

    fn stamp(&mut self, keys: &MapKeys) -> Stamp {
        let Some(hash) = self.hash(&keys.stamp) else {
            return Stamp::default();
        };
        let version = hash.text("version").and_then(|digits| digits.parse().ok());
        Stamp {
            version: version.unwrap_or(0),
            nonce: hash.text("nonce").unwrap_or_default(),
        }
    }

    /// The stamp moves on, and this is what announces it.
    fn moves(&mut self, keys: &MapKeys, field: Option<&str>, nonce: &str) -> (Moved, Vec<u8>) {
        let before = self.stamp(keys);
        let moved = Moved {
            version: before.version + 1,
            was: before.nonce,
        };
        let hash = self.hashes.entry(keys.stamp.clone()).or_default();
        hash.set("version", moved.version.to_string());
        hash.set("nonce", nonce);
        let notice = keys.notice(field) + &notice_end(&moved, nonce);
        (moved, notice.into_bytes())
    }
}

impl MemoryKeys {
    fn look<T: Send + 'static>(
        &self,
        keys: &MapKeys,
        look: impl FnOnce(&mut Map) -> T,
    ) -> Answer<T> {
        let found = look(self.lock().map(keys));
        Box::pin(ready(Ok(found)))
    }

    /// Changes a map, and announces it.
    fn alter(
        &self,
        map: &MapKeys,
        field: Option<&str>,
        nonce: &str,
        alter: impl FnOnce(&mut Map) + Send + 'static,
    ) -> Answer<Moved> {
        let (keys, map) = (self.clone(), map.clone());
        let (field, nonce) = (field.map(str::to_owned), nonce.to_owned());
        Box::pin(async move {
            let change = |kept: &mut memory::InMemory| {
                alter(kept.map(&map));
                let (moved, notice) = kept.moves(&map, field.as_deref(), &nonce);
                Ok((moved, Some(notice)))
            };
            keys.change(change).await
        })
    }
}

impl Maps for MemoryKeys {
    fn entry(&self, map: &MapKeys, field: &str) -> Answer<Found> {
        let mut kept = self.lock();
        let stamp = kept.stamp(map);
        let (entry, now) = (kept.map(map).entry(field), now());
        Box::pin(ready(Ok(Found { stamp, entry, now })))
    }

    fn write_entry(&self, map: &MapKeys, new: NewEntry<'_>) -> Answer<Written> {
        let (keys, map, new) = (self.clone(), map.clone(), Owned::of(new));
        Box::pin(async move {
            let change = |kept: &mut memory::InMemory| {
                let new = new.entry();
                if !kept.map(&map).allows(new.field, new.only) {
                    let stamp = kept.stamp(&map);
                    let (entry, now) = (kept.map(&map).entry(new.field), now());
                    return Ok((Written::Not(Found { stamp, entry, now }), None));
                }
                kept.map(&map).write(new);
                let (moved, notice) = kept.moves(&map, Some(new.field), new.nonce);
                Ok((Written::Done(moved), Some(notice)))
            };
            keys.change(change).await
        })
    }

    fn remove_entry(&self, map: &MapKeys, field: &str, nonce: &str) -> Answer<Moved> {
        let name = field.to_owned();
        self.alter(map, Some(field), nonce, move |map| {
            map.entries.remove(&name);
            map.loading.remove(&name);
        })
    }

    fn clear_map(&self, map: &MapKeys, nonce: &str) -> Answer<Moved> {
        self.alter(map, None, nonce, |map| *map = Map::default())
    }

    fn lease(
        &self,
        map: &MapKeys,
        field: &str,
        lease: &str,
        negative_will_do: bool,
    ) -> Answer<(Found, String)> {
        let mut kept = self.lock();
        let stamp = kept.stamp(map);
        let map = kept.map(map);
        let will_do = |entry: &&Entry| negative_will_do || !entry.is_negative;
        let entry = map.living(field).filter(will_do);
        let (entry, now) = (entry.map(|entry| entry.bytes.clone()), now());
        let given = if entry.is_some() {
            String::new()
        } else {
            let given = map.loading.entry(field.to_owned());
            given.or_insert_with(|| lease.to_owned()).clone()
        };
        Box::pin(ready(Ok((Found { stamp, entry, now }, given))))
    }

    fn map_len(&self, map: &MapKeys) -> Answer<u64> {
        self.look(map, |map| map.entries.len() as u64)
    }

    fn page(&self, map: &MapKeys, _from: u64) -> Answer<Page> {
        self.look(map, |map| {
            let entry = |(field, entry): (&String, &Entry)| {
                (field.clone().into_bytes(), entry.bytes.clone())
            };
            Page {
                next: 0,
                entries: map.entries.iter().map(entry).collect(),
                now: now(),
            }
        })
    }
}

/// A new entry that waits for its turn.
struct Owned {
    field: String,
    format: Format,
    payload: Option<Vec<u8>>,
    ttl: Option<Duration>,
    nonce: String,
    only: OwnedOnly,
}

enum OwnedOnly {
    Always,
    IfIs(String),
    IfLeased(String),
}

impl Owned {
    fn of(new: NewEntry<'_>) -> Self {
        Self {
            field: new.field.to_owned(),
            format: new.format,
            payload: new.payload.map(<[u8]>::to_vec),
            ttl: new.ttl,
            nonce: new.nonce.to_owned(),
            only: match new.only {
                Only::Always => OwnedOnly::Always,
                Only::IfIs(nonce) => OwnedOnly::IfIs(nonce.to_owned()),
                Only::IfLeased(lease) => OwnedOnly::IfLeased(lease.to_owned()),
            },
        }
    }

    fn entry(&self) -> NewEntry<'_> {
        NewEntry {
            field: &self.field,
            format: self.format,
            payload: self.payload.as_deref(),
            ttl: self.ttl,
            nonce: &self.nonce,
            only: match &self.only {
                OwnedOnly::Always => Only::Always,
                OwnedOnly::IfIs(nonce) => Only::IfIs(nonce),
                OwnedOnly::IfLeased(lease) => Only::IfLeased(lease),
            },
        }
    }
}
