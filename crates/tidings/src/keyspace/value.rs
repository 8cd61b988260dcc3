//! Shared values: each is a hash of a format, a payload, a version and a nonce.

use std::time::Duration;

use serde::de::IgnoredAny;
use tidings_codec::{Format, Limits, RawEvent, read_frame};

use crate::error::shown;
use crate::keyspace::answer::{Answer, NotDone};
use crate::keyspace::redis::{KeyConnection, RedisKeys, parsed, text};
use crate::keyspace::stamp::{Moved, Stamp};
use crate::task::FOREVER;

mod memory;
mod scripts;

const FORMAT: &str = "format";
const VALUE: &str = "value";
const VERSION: &str = "version";
const NONCE: &str = "nonce";
const TTL: &str = "ttl";
const RESTORED: &str = "restored";

/// The maximal length of a nonce. The scripts show a longer one, which no bus wrote, as `?`.
const MAX_NONCE_BYTES: usize = 64;

pub(crate) trait Values {
    /// Reads a value.
    fn read(&self, key: &str) -> Answer<Found>;

    /// Reads stamps in one round trip. An error of one does not affect the others.
    fn stamps(&self, keys: Vec<StampKeys>) -> Answer<Vec<Result<FoundStamp, NotDone>>>;

    /// Writes a value and sends its notification, atomically.
    /// Returns what Redis holds if it is not what was expected.
    fn write(&self, key: &str, writing: Writing) -> Answer<Result<Moved, Found>>;

    /// Removes the value, leaves its stamp, and sends a notification, atomically.
    /// `name` and `version` are as in [`Writing`].
    fn clear(&self, key: &str, name: &str, nonce: String, version: u64) -> Answer<Moved>;

    /// Restores a value that Redis lost and sends a notification, atomically, unless the key has
    /// another value than an older restored copy.
    fn restore(&self, key: &str, copy: Restoring) -> Answer<bool>;
}

/// A request for a stamp.
#[derive(Clone, Debug)]
pub(crate) struct StampKeys {
    pub(crate) stamp: String,
    /// The hash of a map's entries, to find out whether there are any.
    pub(crate) entries: Option<String>,
}

/// A stamp, and what was found with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FoundStamp {
    pub(crate) stamp: Stamp,
    /// The hash of entries was requested, and there is none.
    pub(crate) has_no_entries: bool,
}

/// The content of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The stamp of the write or the removal. Without one there is nothing: a value was never written,
    /// has expired, or Redis lost it.
    pub(crate) stamp: Stamp,
    pub(crate) value: Option<Written>,
    /// A process restored it after Redis lost it.
    pub(crate) is_restored: bool,
}

/// A value in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The format: untrusted input.
    pub(crate) format: String,
    pub(crate) payload: Vec<u8>,
    /// It has a time to live, and Redis may remove it.
    pub(crate) expires: bool,
}

/// A request to write a value.
#[derive(Clone, Debug)]
pub(crate) struct Writing {
    /// Its name in notifications.
    pub(crate) name: String,
    /// The nonce that Redis must hold, if that is a condition; empty for no value.
    pub(crate) expected: Option<String>,
    pub(crate) format: Format,
    pub(crate) payload: Vec<u8>,
    pub(crate) nonce: String,
    pub(crate) time_to_live: Option<Duration>,
    /// The value in JSON, if the notification is to include it.
    pub(crate) inline: Option<Vec<u8>>,
    /// The version to continue from if Redis has none: that of this process's copy.
    pub(crate) version: u64,
}

/// A request to restore a value.
#[derive(Clone, Debug)]
pub(crate) struct Restoring {
    pub(crate) name: String,
    pub(crate) stamp: Stamp,
    /// The format and payload; `None` for a value that was cleared.
    pub(crate) value: Option<(Format, Vec<u8>)>,
}

/// The fields of a value's hash: untrusted input.
type Fields = [Option<Vec<u8>>; 6];
const FIELDS: [&str; 6] = [FORMAT, VALUE, VERSION, NONCE, TTL, RESTORED];

/// The time for which Redis remembers that a value was cleared: 7 days. After it, a disconnected
/// process treats its copy as lost.
const CLEARED_TTL_MS: u64 = 7 * 24 * 3_600_000;

impl<C: KeyConnection> Values for RedisKeys<C> {
    fn read(&self, key: &str) -> Answer<Found> {
        let mut read = redis::cmd("HMGET");
        read.arg(key).arg(&FIELDS);
        let fields = self.ask::<Fields>(read);
        Box::pin(async move { Found::of(fields.await?) })
    }

    fn stamps(&self, keys: Vec<StampKeys>) -> Answer<Vec<Result<FoundStamp, NotDone>>> {
        let read = |keys: &StampKeys| {
            let mut read = redis::cmd("HMGET");
            read.arg(&keys.stamp).arg(&[VERSION, NONCE]);
            read
        };
        let count = |keys: &StampKeys| {
            let mut count = redis::cmd("HLEN");
            count.arg(keys.entries.as_ref()?);
            Some(count)
        };
        let commands = keys.iter().map(read).chain(keys.iter().filter_map(count));
        let answers = self.connection.read_all(commands.collect());
        let needs = self.needs.clone();
        Box::pin(async move {
            let mut stamps = answers.await.map_err(|error| error.into_not_done(&needs))?;
            let mut counts = stamps.split_off(keys.len().min(stamps.len())).into_iter();
            let found = |(keys, stamp): (StampKeys, _)| {
                let count = keys.entries.and_then(|_| counts.next());
                let (version, nonce) = parsed(stamp, &needs)?;
                let count = count.map(|count| parsed::<u64>(count, &needs));
                Ok(FoundStamp {
                    stamp: Stamp::of(version, nonce)?,
                    has_no_entries: count.transpose()? == Some(0),
                })
            };
            Ok(keys.into_iter().zip(stamps).map(found).collect())
        })
    }

    fn write(&self, key: &str, writing: Writing) -> Answer<Result<Moved, Found>> {
        let mut script = scripts::WRITE.key(key);
        let condition = if writing.expected.is_some() { "if" } else { "" };
        script
            .arg(condition)
            .arg(writing.expected.as_deref().unwrap_or(""))
            .arg(&self.channel.name)
            .arg(&writing.name)
            .arg(writing.format.to_string())
            .arg(&*writing.payload)
            .arg(&writing.nonce)
            .arg(inlined(writing.inline.as_deref(), writing.time_to_live))
            .arg(milliseconds(writing.time_to_live))
            .arg(writing.version)
            .arg(self.channel.kind.publish());
        let answer = self.run::<(bool, Fields)>(script);
        Box::pin(async move {
            let (is_done, fields) = answer.await?;
            if !is_done {
                return Found::of(fields).map(Err);
            }
            let [_, _, version, was, ..] = fields;
            // An invalid version or nonce causes a refresh.
            let version = version.and_then(|digits| number(&digits)).unwrap_or(0);
            let was = String::from_utf8(was.unwrap_or_default()).unwrap_or_default();
            Ok(Ok(Moved::to(version, writing.nonce, was)))
        })
    }

    fn clear(&self, key: &str, name: &str, nonce: String, version: u64) -> Answer<Moved> {
        let mut script = scripts::CLEAR.key(key);
        script.arg(&self.channel.name).arg(name);
        script.arg(&nonce).arg(version);
        script.arg(CLEARED_TTL_MS);
        script.arg(self.channel.kind.publish());
        self.change(script, nonce)
    }

    fn restore(&self, key: &str, copy: Restoring) -> Answer<bool> {
        let (format, payload) = copy.value.unzip();
        let mut script = scripts::RESTORE.key(key);
        script.arg(&self.channel.name).arg(copy.name);
        script.arg(copy.stamp.version).arg(copy.stamp.nonce);
        script.arg(format.map_or_else(String::new, |format| format.to_string()));
        script.arg(payload.unwrap_or_default());
        script.arg(CLEARED_TTL_MS);
        script.arg(self.channel.kind.publish());
        self.run(script)
    }
}

/// Returns a time to live as an argument of a script; empty for none.
pub(super) fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| time.as_millis().max(1).to_string())
}

/// Returns whether every process can decode a notification with this value, which is one level
/// deeper than the value itself.
pub(crate) fn can_inline(name: &str, value: &[u8]) -> bool {
    let nonce = "0".repeat(MAX_NONCE_BYTES);
    let inline = inlined(Some(value), Some(FOREVER));
    let longest = Moved::to(u64::MAX, nonce.clone(), nonce);
    let notification = notification(name, &longest, &inline);
    let mut events = Vec::new();
    let Ok(header) = read_frame(&notification, &Limits::default(), &mut events) else {
        return false;
    };
    let is_readable = |event: &RawEvent| {
        let payload = event.payload(header.format, &notification);
        payload.decode::<IgnoredAny>().is_ok()
    };
    events
        .iter()
        .all(|event| event.as_ref().is_ok_and(is_readable))
}

/// Returns the end of a notification with the value.
fn inlined(value: Option<&[u8]>, time_to_live: Option<Duration>) -> Vec<u8> {
    let Some(value) = value else {
        return Vec::new();
    };
    let ttl = match time_to_live {
        Some(_) => format!(r#","ttl":{}"#, milliseconds(time_to_live)),
        None => String::new(),
    };
    [ttl.as_bytes(), br#","value":"#, value].concat()
}

fn number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

impl Stamp {
    pub(super) fn of(version: Option<Vec<u8>>, nonce: Option<Vec<u8>>) -> Result<Self, NotDone> {
        let Some(nonce) = nonce.filter(|nonce| !nonce.is_empty()) else {
            return Ok(Self::default());
        };
        let digits = version.unwrap_or_default();
        let Some(version) = number(&digits) else {
            let digits = shown(&String::from_utf8_lossy(&digits));
            let words = format!("its version `{digits}` is not an integer");
            return Err(NotDone::Foreign(words.into()));
        };
        let nonce = text(NONCE, nonce)?;
        Ok(Self { version, nonce })
    }
}

impl Found {
    fn of([format, payload, version, nonce, ttl, restored]: Fields) -> Result<Self, NotDone> {
        let lacks = |field| NotDone::Foreign(format!("it is a hash without `{field}`").into());
        let nonce = nonce.filter(|nonce| !nonce.is_empty());
        let value = match (payload, format, &nonce) {
            // After a write whose notification was denied, a version alone is left.
            (None, None, None) => return Ok(Self::default()),
            (None, None, Some(_)) => None,
            (_, _, None) => return Err(lacks(NONCE)),
            (None, _, _) => return Err(lacks(VALUE)),
            (_, None, _) => return Err(lacks(FORMAT)),
            (Some(payload), Some(format), Some(_)) => Some(Written {
                format: text(FORMAT, format)?,
                payload,
                expires: ttl.is_some(),
            }),
        };
        Ok(Self {
            is_restored: restored == nonce,
            stamp: Stamp::of(version, nonce)?,
            value,
        })
    }

    pub(super) fn after(moved: &Moved, value: Option<Written>) -> Self {
        Self {
            stamp: moved.now.clone(),
            value,
            is_restored: false,
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.stamp == Stamp::default()
    }
}

fn notification(name: &str, Moved { now, was }: &Moved, inlined: &[u8]) -> Vec<u8> {
    let Stamp { version, nonce } = now;
    let notification = format!(
        r#"{{"event":"tidings.shared","data":{{"key":"{name}","version":{version},"nonce":"{nonce}","previous":"{was}""#
    );
    [notification.as_bytes(), inlined, b"}}"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_inlined_only_if_its_notification_can_be_decoded() {
        let nested = |levels| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(can_inline("limit", nested(31).as_bytes()));
        assert!(!can_inline("limit", nested(32).as_bytes()));
        let large = format!("\"{}\"", "x".repeat(Limits::FRAME));
        assert!(!can_inline("limit", large.as_bytes()));
        let wide = format!("[0{}]", ",0".repeat(Limits::VALUES - 2));
        assert!(!can_inline("limit", wide.as_bytes()));
    }
}
