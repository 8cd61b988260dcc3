//! Shared values in memory, as Redis keeps them.

use std::time::Duration;

use tokio::time::Instant;

use crate::keyspace::answer::{Answer, KeyError};
use crate::keyspace::hashes::Hash;
use crate::keyspace::memory::{InMemory, MemoryKeys};
use crate::keyspace::stamp::Stamp;
use crate::keyspace::value::{
    Attempt, CLEARED_LASTS_MS, Cleared, Clearing, FIELDS, FORMAT, Fields, Found, NONCE, Restoring,
    TTL, VALUE, VERSION, Values, Writing, inlined, milliseconds, notice,
};

impl Values for MemoryKeys {
    fn read(&self, key: &str) -> Answer<Found> {
        let found = Found::of(fields(self.lock().hash(key)));
        Box::pin(std::future::ready(found))
    }

    fn stamps(&self, keys: Vec<String>) -> Answer<Vec<Result<Stamp, KeyError>>> {
        let mut kept = self.lock();
        let stamp = |key: &String| {
            let [_, _, version, nonce, ..] = fields(kept.hash(key));
            Stamp::of(version, nonce)
        };
        let stamps = keys.iter().map(stamp).collect();
        Box::pin(std::future::ready(Ok(stamps)))
    }

    fn write(&self, key: &str, writing: Writing) -> Answer<Attempt> {
        let (keys, key) = (self.clone(), key.to_owned());
        Box::pin(async move {
            keys.change(|kept| {
                let found = Found::of(fields(kept.hash(&key)))?;
                let before = found.stamp();
                if writing
                    .expected
                    .is_some_and(|expected| expected != before.nonce)
                {
                    return Ok((Attempt::Overtaken(found), None));
                }
                let version = next(&before, writing.version);
                let inline = inlined(writing.inline.as_deref(), writing.time_to_live);
                let notice = notice(
                    &writing.name,
                    version,
                    &writing.nonce,
                    &before.nonce,
                    &inline,
                );
                let hash = kept.hashes.entry(key).or_default();
                hash.set(FORMAT, writing.format.to_string());
                hash.set(VALUE, writing.payload);
                hash.set(VERSION, version.to_string());
                hash.set(NONCE, writing.nonce);
                hash.remove(TTL);
                if let Some(time) = writing.time_to_live {
                    hash.set(TTL, milliseconds(Some(time)));
                }
                hash.expires = writing.time_to_live.map(|time| Instant::now() + time);
                let was = before.nonce;
                Ok((Attempt::Done { version, was }, Some(notice)))
            })
            .await
        })
    }

    fn clear(&self, key: &str, clearing: Clearing) -> Answer<Cleared> {
        let (keys, key) = (self.clone(), key.to_owned());
        Box::pin(async move {
            keys.change(|kept| {
                let before = Found::of(fields(kept.hash(&key)))?.stamp();
                let version = next(&before, clearing.version);
                let Clearing { name, nonce, .. } = clearing;
                let end = br#","cleared":true"#;
                let notice = notice(&name, version, &nonce, &before.nonce, end);
                let hash = cleared(kept, &key);
                hash.set(VERSION, version.to_string());
                hash.set(NONCE, nonce);
                Ok(((version, before.nonce), Some(notice)))
            })
            .await
        })
    }

    /// Memory loses nothing.
    fn restore(&self, _: &str, _: Restoring) -> Answer<bool> {
        Box::pin(std::future::ready(Ok(false)))
    }
}

/// The version that follows this stamp; where there is none, that of a copy.
fn next(before: &Stamp, copy: u64) -> u64 {
    let is_there = *before != Stamp::default();
    if is_there {
        before.version + 1
    } else {
        copy + 1
    }
}

/// The hash of a value that is cleared, without any field.
fn cleared<'a>(kept: &'a mut InMemory, key: &str) -> &'a mut Hash {
    let hash = kept.hashes.entry(key.to_owned()).or_default();
    *hash = Hash::default();
    hash.expires = Some(Instant::now() + Duration::from_millis(CLEARED_LASTS_MS));
    hash
}

fn fields(hash: Option<&Hash>) -> Fields {
    let Some(hash) = hash else {
        return Fields::default();
    };
    FIELDS.map(|name| hash.get(name).map(<[u8]>::to_vec))
}
