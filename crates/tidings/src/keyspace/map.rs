//! Shared maps: many small values in one hash, with leases for loaders.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Script, ScriptInvocation};
use serde_json::json;
use tidings_codec::Format;

use crate::keyspace::answer::{Answer, NotDone};
use crate::keyspace::redis::{ConnectionNumber, KeyConnection, KeyRequest, RedisKeys};
use crate::keyspace::stamp::{Moved, Stamp};
use crate::keyspace::value::milliseconds;
use crate::namespace::MapKeys;

mod memory;
mod scripts;
pub(crate) mod stored;

/// The event name of change notifications.
pub(crate) const CHANGE_EVENT: &str = "tidings.map";

/// The number of entries that one page requests.
const PAGE_SIZE: usize = 500;

/// A request to write an entry.
#[derive(Clone, Debug)]
pub(crate) struct NewEntry {
    pub(crate) field: String,
    pub(crate) format: Format,
    /// `None` for a negative entry, which says that there is no value.
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) nonce: String,
    pub(crate) condition: WriteCondition,
}

/// The format of a negative entry.
pub(crate) const NEGATIVE: &str = "none";

/// The condition of a write.
#[derive(Clone, Debug)]
pub(crate) enum WriteCondition {
    Always,
    /// The entry has this nonce; empty for no entry.
    IfNonce(String),
    /// There is no entry or a negative one, and it was not changed since this lease was created.
    IfLeased(String),
}

/// An entry, and the map's stamp at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) stamp: Stamp,
    pub(crate) entry: Option<Vec<u8>>,
    /// The time of the clock of expiries, in milliseconds.
    pub(crate) now: u64,
}

/// One page of entries, the cursor of the next (0 at the end), and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) next: u64,
    pub(crate) entries: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) now: u64,
    /// The cursor is valid only over this connection: another server has another order.
    pub(crate) from: ConnectionNumber,
}

pub(crate) trait Maps {
    fn entry(&self, map: &MapKeys, field: &str) -> Answer<Found>;

    /// Writes an entry and sends a notification, or returns the entry if the condition does not hold.
    fn write_entry(&self, map: &MapKeys, new: NewEntry) -> Answer<Result<Moved, Found>>;

    /// Removes an entry and its lease, or all of them, and sends a notification, even if there is none.
    fn remove_entries(&self, map: &MapKeys, field: Option<&str>, nonce: String) -> Answer<Moved>;

    /// Returns the entry, or else the lease to write it: an existing one, or this. The lease of a
    /// failed loader is used by the next one, or expires. A negative entry counts if
    /// `accepts_negative`.
    fn lease(
        &self,
        map: &MapKeys,
        field: &str,
        lease: &str,
        accepts_negative: bool,
    ) -> Answer<(Found, String)>;

    fn map_len(&self, map: &MapKeys) -> Answer<u64>;

    /// Returns a page of entries. Pages from cursor 0 to 0 contain each entry that exists all the
    /// time, if all are from the same connection.
    fn page(&self, map: &MapKeys, from: u64) -> Answer<Page>;
}

impl NewEntry {
    fn format(&self) -> String {
        let format = self.payload.as_ref().map(|_| self.format.to_string());
        format.unwrap_or_else(|| NEGATIVE.to_owned())
    }
}

impl Found {
    fn of((version, nonce, entry, now): Fields) -> Result<Self, NotDone> {
        let stamp = Stamp::of(version, nonce)?;
        let now = now.unwrap_or(0);
        Ok(Self { stamp, entry, now })
    }
}

impl MapKeys {
    /// Returns the beginning of the notification of a change of one entry, or of all;
    /// [`notification_end`] is the rest.
    fn notification(&self, field: Option<&str>) -> String {
        let map = &self.name;
        let key = field.map(|field| format!(r#","key":{}"#, json!(field)));
        let key = key.unwrap_or_default();
        format!(r#"{{"event":"{CHANGE_EVENT}","data":{{"map":"{map}"{key}"#)
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

/// Returns the end of a notification; the scripts write the same.
fn notification_end(Moved { now, was }: &Moved) -> String {
    let Stamp { version, nonce } = now;
    format!(r#","version":{version},"nonce":"{nonce}","previous":"{was}"}}}}"#)
}

/// The stamp's version and nonce, an entry, and the time.
type Fields = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<u64>,
);

impl<C: KeyConnection> Maps for RedisKeys<C> {
    fn entry(&self, map: &MapKeys, field: &str) -> Answer<Found> {
        static READ: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::READ));
        let mut read = map.invoke(&READ);
        read.arg(field);
        let answer = self.run::<Fields>(read);
        Box::pin(async move { Found::of(answer.await?) })
    }

    fn write_entry(&self, map: &MapKeys, new: NewEntry) -> Answer<Result<Moved, Found>> {
        static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::WRITE));
        let (condition, operand) = match &new.condition {
            WriteCondition::Always => ("always", ""),
            WriteCondition::IfNonce(nonce) => ("is", nonce.as_str()),
            WriteCondition::IfLeased(lease) => ("leased", lease.as_str()),
        };
        let mut write = map.invoke(&WRITE);
        write
            .arg(&self.channel.name)
            .arg(map.notification(Some(&new.field)));
        write
            .arg(&new.nonce)
            .arg(&new.field)
            .arg(condition)
            .arg(operand);
        write.arg(new.format());
        write.arg(new.payload.unwrap_or_default());
        write.arg(milliseconds(new.ttl));
        write.arg(self.channel.kind.publish());
        let answer = self.run::<(Option<(u64, String)>, Fields)>(write);
        Box::pin(async move {
            match answer.await? {
                (Some((version, was)), _) => Ok(Ok(Moved::to(version, new.nonce, was))),
                (None, fields) => Found::of(fields).map(Err),
            }
        })
    }

    fn remove_entries(&self, map: &MapKeys, field: Option<&str>, nonce: String) -> Answer<Moved> {
        static REMOVE: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::REMOVE));
        let mut remove = map.invoke(&REMOVE);
        remove
            .arg(&self.channel.name)
            .arg(map.notification(field))
            .arg(&nonce)
            .arg(self.channel.kind.publish())
            .arg(field);
        self.change(remove, nonce)
    }

    fn lease(
        &self,
        map: &MapKeys,
        field: &str,
        lease: &str,
        accepts_negative: bool,
    ) -> Answer<(Found, String)> {
        static LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::LEASE));
        let mut ask = map.invoke(&LEASE);
        ask.arg(field).arg(lease).arg(scripts::LEASE_TTL_MS);
        ask.arg(accepts_negative);
        let answer = self.run::<(Fields, Vec<u8>)>(ask);
        Box::pin(async move {
            let (fields, lease) = answer.await?;
            // A lease that is not UTF-8 is foreign, and matches no write.
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
        scan.arg(&map.entries).arg(from).arg("COUNT").arg(PAGE_SIZE);
        let time = self.ask::<(u64, u64)>(redis::cmd("TIME"));
        let scanned = self.carry(KeyRequest::Command(scan));
        Box::pin(async move {
            let (time, scanned) = futures_util::join!(time, scanned);
            let (seconds, micros) = time?;
            let ((next, entries), from) = scanned?;
            let now = seconds * 1_000 + micros / 1_000;
            Ok(Page {
                next,
                entries,
                now,
                from,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_a_valid_json_event() {
        let map = MapKeys {
            name: "users".to_owned(),
            entries: String::new(),
            stamp: String::new(),
            loading: String::new(),
        };
        let moved = Moved::to(3, "0b".to_owned(), "0a".to_owned());
        let data = |field: Option<&str>| {
            let notification = map.notification(field) + &notification_end(&moved);
            let notification: serde_json::Value = serde_json::from_str(&notification).unwrap();
            assert_eq!(notification["event"], CHANGE_EVENT);
            notification["data"].clone()
        };
        let all = json!({ "map": "users", "version": 3, "nonce": "0b", "previous": "0a" });
        assert_eq!(data(None), all);
        assert_eq!(
            data(Some("a \"quoted\" \n key"))["key"],
            "a \"quoted\" \n key"
        );
    }
}
