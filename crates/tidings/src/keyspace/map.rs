//! Maps that all processes share: many small values in one hash, and who may fill a gap in it.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Script, ScriptInvocation};
use serde_json::json;
use tidings_codec::Format;

use crate::keyspace::answer::{Answer, KeyError};
use crate::keyspace::redis::RedisKeys;
use crate::keyspace::stamp::Stamp;
use crate::keyspace::value::milliseconds;
use crate::namespace::MapKeys;

pub(crate) mod entries;
mod memory;
mod scripts;

/// The name of the event that tells of a change.
pub(crate) const NOTICE: &str = "tidings.map";

/// How many entries one step through a map asks for.
const STEP: usize = 500;

/// An entry to be written.
#[derive(Clone, Debug)]
pub(crate) struct NewEntry {
    pub(crate) field: String,
    pub(crate) format: Format,
    /// `None` for a negative entry: it is known that there is no value.
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) ttl: Option<Duration>,
    /// The random mark of this writing.
    pub(crate) nonce: String,
    pub(crate) only: Only,
}

/// The format of a negative entry.
pub(crate) const NEGATIVE: &str = "none";

/// When an entry is written.
#[derive(Clone, Debug)]
pub(crate) enum Only {
    Always,
    /// If the entry that is there has this mark; none for one that is not there.
    IfIs(String),
    /// If there is none or a negative one, and nobody changed that since this lease was given.
    IfLeased(String),
}

/// A change that was made: the map's stamp moved on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) version: u64,
    /// The stamp's mark before.
    pub(crate) was: String,
}

/// What an entry looked like, and the map's stamp at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) stamp: Stamp,
    pub(crate) entry: Option<Vec<u8>>,
    /// The time by the clock that ends of entries are given in, in milliseconds.
    pub(crate) now: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Done(Moved),
    /// The condition does not hold: this is there.
    Not(Found),
}

/// The fields and entries of one step, where the next one begins, which is 0 at the end, and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) next: u64,
    pub(crate) entries: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) now: u64,
}

pub(crate) trait Maps {
    fn entry(&self, map: &MapKeys, field: &str) -> Answer<Found>;

    /// Writes an entry and announces it.
    fn write_entry(&self, map: &MapKeys, new: NewEntry) -> Answer<Written>;

    /// Takes an entry out and the lease for it back, and announces it, whether it was there or not.
    fn remove_entry(&self, map: &MapKeys, field: &str, nonce: &str) -> Answer<Moved>;

    /// Takes everything out and all leases back, and announces it.
    fn clear_map(&self, map: &MapKeys, nonce: &str) -> Answer<Moved>;

    /// The entry, or else the lease to write it: the one that is given already, or this. One that
    /// comes to nothing is left for the next loader, or goes by itself. A negative entry is one only
    /// where that is said.
    fn lease(
        &self,
        map: &MapKeys,
        field: &str,
        lease: &str,
        negative_will_do: bool,
    ) -> Answer<(Found, String)>;

    fn map_len(&self, map: &MapKeys) -> Answer<u64>;

    /// Some of the entries. Steps from 0 to 0 give all that are there all the while.
    fn page(&self, map: &MapKeys, from: u64) -> Answer<Page>;
}

impl NewEntry {
    fn format(&self) -> String {
        let format = self.payload.as_ref().map(|_| self.format.to_string());
        format.unwrap_or_else(|| NEGATIVE.to_owned())
    }
}

impl Found {
    fn of((version, nonce, entry, now): Fields) -> Result<Self, KeyError> {
        let stamp = Stamp::of(version, nonce)?;
        let now = now.unwrap_or(0);
        Ok(Self { stamp, entry, now })
    }
}

impl MapKeys {
    /// The beginning of the event that tells of a change of one entry, or of all; [`notice_end`]
    /// is the rest.
    fn notice(&self, field: Option<&str>) -> String {
        let map = &self.name;
        let key = field.map(|field| format!(r#","key":{}"#, json!(field)));
        let key = key.unwrap_or_default();
        format!(r#"{{"event":"{NOTICE}","data":{{"map":"{map}"{key}"#)
    }

    fn invoke(&self, script: &'static Script) -> ScriptInvocation<'static> {
        let mut invocation = script.prepare_invoke();
        invocation
            .key(&self.stamp)
            .key(&self.entries)
            .key(&self.loading);
        invocation
    }
}

/// The end of the event that tells of a change; the scripts write the same.
fn notice_end(moved: &Moved, nonce: &str) -> String {
    let Moved { version, was } = moved;
    format!(r#","version":{version},"nonce":"{nonce}","previous":"{was}"}}}}"#)
}

/// The stamp's version and nonce, an entry, and the time.
type Fields = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<u64>,
);

impl Maps for RedisKeys {
    fn entry(&self, map: &MapKeys, field: &str) -> Answer<Found> {
        static READ: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::READ));
        let mut read = map.invoke(&READ);
        read.arg(field);
        let asked = self.run::<Fields>(read);
        Box::pin(async move { Found::of(asked.await?) })
    }

    fn write_entry(&self, map: &MapKeys, new: NewEntry) -> Answer<Written> {
        static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::WRITE));
        let (only, than) = match &new.only {
            Only::Always => ("always", ""),
            Only::IfIs(nonce) => ("is", nonce.as_str()),
            Only::IfLeased(lease) => ("leased", lease.as_str()),
        };
        let mut write = map.invoke(&WRITE);
        write.arg(&self.channel).arg(map.notice(Some(&new.field)));
        write.arg(&new.nonce).arg(&new.field).arg(only).arg(than);
        write.arg(new.format());
        write.arg(new.payload.unwrap_or_default());
        write.arg(milliseconds(new.ttl));
        let asked = self.run::<(Option<(u64, String)>, Fields)>(write);
        Box::pin(async move {
            match asked.await? {
                (Some((version, was)), _) => Ok(Written::Done(Moved { version, was })),
                (None, fields) => Found::of(fields).map(Written::Not),
            }
        })
    }

    fn remove_entry(&self, map: &MapKeys, field: &str, nonce: &str) -> Answer<Moved> {
        static REMOVE: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::REMOVE));
        let mut remove = map.invoke(&REMOVE);
        remove.arg(&self.channel).arg(map.notice(Some(field)));
        remove.arg(nonce).arg(field);
        moved(self.run(remove))
    }

    fn clear_map(&self, map: &MapKeys, nonce: &str) -> Answer<Moved> {
        static CLEAR: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::CLEAR));
        let mut clear = map.invoke(&CLEAR);
        clear.arg(&self.channel).arg(map.notice(None)).arg(nonce);
        moved(self.run(clear))
    }

    fn lease(
        &self,
        map: &MapKeys,
        field: &str,
        lease: &str,
        negative_will_do: bool,
    ) -> Answer<(Found, String)> {
        static LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::LEASE));
        let mut ask = map.invoke(&LEASE);
        ask.arg(field).arg(lease).arg(scripts::LEASES_LAST_MS);
        ask.arg(negative_will_do);
        let asked = self.run::<(Fields, Vec<u8>)>(ask);
        Box::pin(async move {
            let (fields, lease) = asked.await?;
            // One that is no text is a stranger's, and fits to nothing that is written.
            let lease = String::from_utf8_lossy(&lease).into_owned();
            Ok((Found::of(fields)?, lease))
        })
    }

    fn map_len(&self, map: &MapKeys) -> Answer<u64> {
        let mut count = redis::cmd("HLEN");
        count.arg(&map.entries);
        self.ask(count)
    }

    fn page(&self, map: &MapKeys, from: u64) -> Answer<Page> {
        let mut scan = redis::cmd("HSCAN");
        scan.arg(&map.entries).arg(from).arg("COUNT").arg(STEP);
        let time = self.ask::<(u64, u64)>(redis::cmd("TIME"));
        let scanned = self.ask(scan);
        Box::pin(async move {
            let (time, scanned) = futures_util::join!(time, scanned);
            let ((seconds, micros), (next, entries)) = (time?, scanned?);
            let now = seconds * 1_000 + micros / 1_000;
            Ok(Page { next, entries, now })
        })
    }
}

fn moved(asked: Answer<(u64, String)>) -> Answer<Moved> {
    Box::pin(async move {
        let (version, was) = asked.await?;
        Ok(Moved { version, was })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_an_event_that_anybody_can_read() {
        let map = MapKeys {
            name: "users".to_owned(),
            entries: String::new(),
            stamp: String::new(),
            loading: String::new(),
        };
        let moved = Moved {
            version: 3,
            was: "0a".to_owned(),
        };
        let data = |field: Option<&str>| {
            let notice = map.notice(field) + &notice_end(&moved, "0b");
            let notice: serde_json::Value = serde_json::from_str(&notice).unwrap();
            assert_eq!(notice["event"], NOTICE);
            notice["data"].clone()
        };
        let all = json!({ "map": "users", "version": 3, "nonce": "0b", "previous": "0a" });
        assert_eq!(data(None), all);
        assert_eq!(
            data(Some("a \"quoted\" \n key"))["key"],
            "a \"quoted\" \n key"
        );
    }
}
