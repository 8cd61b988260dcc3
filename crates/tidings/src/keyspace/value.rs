//! Values that all processes share: each is a hash of a format's name, a payload, a version and a
//! nonce.

use std::time::Duration;

use redis::{RedisResult, Value};
use serde::de::IgnoredAny;
use tidings_codec::{Format, Limits, RawEvent, read_frame};

use crate::error::shown;
use crate::keyspace::answer::{Answer, KeyError};
use crate::keyspace::redis::{RedisKeys, refused, text, understood};
use crate::keyspace::stamp::Stamp;
use crate::task::FOREVER;

mod memory;
mod scripts;

const FORMAT: &str = "format";
const VALUE: &str = "value";
const VERSION: &str = "version";
const NONCE: &str = "nonce";
const TTL: &str = "ttl";
const RESTORED: &str = "restored";

/// Longer ones were written by no bus, and the scripts announce them as `?`.
const LONGEST_NONCE: usize = 64;

pub(crate) trait Values {
    /// What lies under the key.
    fn read(&self, key: &str) -> Answer<Found>;

    /// The stamps under these keys, all in one round trip. What is wrong with one spoils no other.
    fn stamps(&self, keys: Vec<String>) -> Answer<Vec<Result<Stamp, KeyError>>>;

    /// Writes and announces as one step.
    fn write(&self, key: &str, writing: Writing) -> Answer<Attempt>;

    /// Takes the value away, leaves the stamp of that, and announces it as one step.
    fn clear(&self, key: &str, clearing: Clearing) -> Answer<Cleared>;

    /// Writes back what Redis lost, as it was, and announces it as one step: unless something is
    /// there by now, other than an older copy that was written back.
    fn restore(&self, key: &str, copy: Restoring) -> Answer<bool>;
}

/// What lies under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing: it was never written, its time to live is over, or Redis lost it.
    Nothing,
    /// A value was taken away on purpose, by the writing of this stamp.
    Cleared {
        stamp: Stamp,
        is_restored: bool,
    },
    Value(Written),
}

/// A value as it lies in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Which format it is in: a stranger's word.
    pub(crate) format: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) stamp: Stamp,
    /// Whether it has a time to live, so that it may go by itself.
    pub(crate) expires: bool,
    /// Whether a process wrote its copy back after Redis lost it.
    pub(crate) is_restored: bool,
}

/// A value on its way.
#[derive(Clone, Debug)]
pub(crate) struct Writing {
    /// What notices call it.
    pub(crate) name: String,
    /// The nonce that must be there, where it matters; empty for nothing.
    pub(crate) expected: Option<String>,
    pub(crate) format: Format,
    pub(crate) payload: Vec<u8>,
    pub(crate) nonce: String,
    pub(crate) time_to_live: Option<Duration>,
    /// The value in JSON, if the notice is to carry it.
    pub(crate) inline: Option<Vec<u8>>,
    /// The version to count on from where Redis has none: that of the copy here.
    pub(crate) version: u64,
}

/// The end of a value on its way.
#[derive(Clone, Debug)]
pub(crate) struct Clearing {
    pub(crate) name: String,
    pub(crate) nonce: String,
    /// As that of a [`Writing`].
    pub(crate) version: u64,
}

/// What became of a clearing: its version, and the nonce of what was there.
pub(crate) type Cleared = (u64, String);

/// A copy that is written back.
#[derive(Clone, Debug)]
pub(crate) struct Restoring {
    pub(crate) name: String,
    pub(crate) stamp: Stamp,
    /// The format and payload; `None` for a value that was cleared.
    pub(crate) value: Option<(Format, Vec<u8>)>,
}

/// What became of a writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It is the version of this number now, and replaced the writing of that nonce.
    Done { version: u64, was: String },
    /// Something else lies there than was expected.
    Overtaken(Found),
}

/// What a hash says of a value: the fields of these names. Anybody may have written them.
type Fields = [Option<Vec<u8>>; 6];
const FIELDS: [&str; 6] = [FORMAT, VALUE, VERSION, NONCE, TTL, RESTORED];

/// How long Redis remembers that a value was cleared: 7 days. A copy that was out of reach of Redis
/// all that time is taken for one that was lost.
const CLEARED_LASTS_MS: u64 = 7 * 24 * 3_600_000;

impl Values for RedisKeys {
    fn read(&self, key: &str) -> Answer<Found> {
        let mut read = redis::cmd("HMGET");
        read.arg(key).arg(&FIELDS);
        let fields = self.ask::<Fields>(read);
        Box::pin(async move { Found::of(fields.await?) })
    }

    fn stamps(&self, keys: Vec<String>) -> Answer<Vec<Result<Stamp, KeyError>>> {
        let mut pipe = redis::pipe();
        for key in keys {
            pipe.cmd("HMGET").arg(key).arg(&[VERSION, NONCE]);
        }
        pipe.ignore_errors();
        let mut connection = self.connection.clone();
        let answers = self.begin(async move { pipe.query_async(&mut connection).await });
        let needs = self.needs.clone();
        Box::pin(async move {
            let answers: Vec<RedisResult<Value>> =
                answers.await?.map_err(|error| refused(&error, &needs))?;
            let stamp = |answer| {
                let (version, nonce) = understood(answer, &needs)?;
                Stamp::of(version, nonce)
            };
            Ok(answers.into_iter().map(stamp).collect())
        })
    }

    fn write(&self, key: &str, writing: Writing) -> Answer<Attempt> {
        let mut script = scripts::WRITE.key(key);
        let condition = if writing.expected.is_some() { "if" } else { "" };
        script
            .arg(condition)
            .arg(writing.expected.as_deref().unwrap_or(""))
            .arg(&self.channel)
            .arg(&writing.name)
            .arg(writing.format.to_string())
            .arg(&*writing.payload)
            .arg(&writing.nonce)
            .arg(inlined(writing.inline.as_deref(), writing.time_to_live))
            .arg(milliseconds(writing.time_to_live))
            .arg(writing.version);
        let answer = self.run::<(bool, Fields)>(script);
        Box::pin(async move {
            let (is_done, fields) = answer.await?;
            if !is_done {
                return Found::of(fields).map(Attempt::Overtaken);
            }
            let [_, _, version, was, ..] = fields;
            // It was written, and where this is not what Redis counted, it is read again.
            Ok(Attempt::Done {
                version: version.and_then(|digits| number(&digits)).unwrap_or(0),
                was: String::from_utf8(was.unwrap_or_default()).unwrap_or_default(),
            })
        })
    }

    fn clear(&self, key: &str, clearing: Clearing) -> Answer<Cleared> {
        let mut script = scripts::CLEAR.key(key);
        script.arg(&self.channel).arg(clearing.name);
        script.arg(clearing.nonce).arg(clearing.version);
        script.arg(CLEARED_LASTS_MS);
        self.run(script)
    }

    fn restore(&self, key: &str, copy: Restoring) -> Answer<bool> {
        let (format, payload) = copy.value.unzip();
        let mut script = scripts::RESTORE.key(key);
        script.arg(&self.channel).arg(copy.name);
        script.arg(copy.stamp.version).arg(copy.stamp.nonce);
        script.arg(format.map_or_else(String::new, |format| format.to_string()));
        script.arg(payload.unwrap_or_default());
        script.arg(CLEARED_LASTS_MS);
        self.run(script)
    }
}

/// A time to live as an argument of a script; nothing for none.
pub(super) fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| time.as_millis().max(1).to_string())
}

/// Whether every process can read the notification that carries this value, which is one level
/// deeper than the value itself.
pub(crate) fn can_carry(name: &str, value: &[u8]) -> bool {
    let longest = "0".repeat(LONGEST_NONCE);
    let inline = inlined(Some(value), Some(FOREVER));
    let notice = notice(name, u64::MAX, &longest, &longest, &inline);
    let mut events = Vec::new();
    let Ok(header) = read_frame(&notice, &Limits::default(), &mut events) else {
        return false;
    };
    let is_readable = |event: &RawEvent| {
        let payload = event.payload(header.format, &notice);
        payload.decode::<IgnoredAny>().is_ok()
    };
    events
        .iter()
        .all(|event| event.as_ref().is_ok_and(is_readable))
}

/// The end of a notice that carries the value.
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
    pub(super) fn of(version: Option<Vec<u8>>, nonce: Option<Vec<u8>>) -> Result<Self, KeyError> {
        let Some(nonce) = nonce.filter(|nonce| !nonce.is_empty()) else {
            return Ok(Self::default());
        };
        let digits = version.unwrap_or_default();
        let Some(version) = number(&digits) else {
            let digits = shown(&String::from_utf8_lossy(&digits));
            let words = format!("its version `{digits}` is no number");
            return Err(KeyError::Foreign(words));
        };
        let nonce = text(NONCE, nonce)?;
        Ok(Self { version, nonce })
    }
}

impl Found {
    fn of([format, payload, version, nonce, ttl, restored]: Fields) -> Result<Self, KeyError> {
        let lacks = |field| KeyError::Foreign(format!("it is a hash without `{field}`"));
        let nonce = nonce.filter(|nonce| !nonce.is_empty());
        let (payload, format) = match (payload, format, &nonce) {
            // What is left where Redis denied a writing its announcement is a version alone.
            (None, None, None) => return Ok(Self::Nothing),
            (None, None, Some(_)) => {
                let is_restored = restored == nonce;
                let stamp = Stamp::of(version, nonce)?;
                return Ok(Self::Cleared { stamp, is_restored });
            }
            (_, _, None) => return Err(lacks(NONCE)),
            (None, _, _) => return Err(lacks(VALUE)),
            (_, None, _) => return Err(lacks(FORMAT)),
            (Some(payload), Some(format), Some(_)) => (payload, format),
        };
        Ok(Self::Value(Written {
            format: text(FORMAT, format)?,
            payload,
            expires: ttl.is_some(),
            is_restored: restored == nonce,
            stamp: Stamp::of(version, nonce)?,
        }))
    }

    pub(super) fn cleared(stamp: Stamp) -> Self {
        let is_restored = false;
        Self::Cleared { stamp, is_restored }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        match self {
            Self::Nothing => Stamp::default(),
            Self::Cleared { stamp, .. } => stamp.clone(),
            Self::Value(written) => written.stamp.clone(),
        }
    }

    /// Whether a process wrote its copy back after Redis lost it.
    pub(crate) fn is_restored(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Cleared { is_restored, .. } => *is_restored,
            Self::Value(written) => written.is_restored,
        }
    }
}

fn notice(name: &str, version: u64, nonce: &str, was: &str, inlined: &[u8]) -> Vec<u8> {
    let notice = format!(
        r#"{{"event":"tidings.shared","data":{{"key":"{name}","version":{version},"nonce":"{nonce}","previous":"{was}""#
    );
    [notice.as_bytes(), inlined, b"}}"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_travels_only_where_its_notification_can_be_read() {
        let nested = |levels| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(can_carry("limit", nested(31).as_bytes()));
        assert!(!can_carry("limit", nested(32).as_bytes()));
        let large = format!("\"{}\"", "x".repeat(Limits::FRAME));
        assert!(!can_carry("limit", large.as_bytes()));
        let wide = format!("[0{}]", ",0".repeat(Limits::VALUES - 2));
        assert!(!can_carry("limit", wide.as_bytes()));
    }
}
