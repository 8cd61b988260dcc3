//! Values that all processes share: each is a hash of a format's name, a payload, a version and a
//! nonce.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{RedisResult, Script, Value};
use serde::de::IgnoredAny;
use tidings_codec::{Format, Limits, RawEvent, read_frame};
use tokio::time::Instant;

use super::hashes::Hash;
use super::{Answer, KeyError, RedisKeys, text, understood};
use crate::shared::keeper::Stamp;
use crate::shared::shown;
use crate::transport::memory::MemoryKeys;

const FORMAT: &str = "format";
const VALUE: &str = "value";
const VERSION: &str = "version";
const NONCE: &str = "nonce";

/// Longer ones were written by no bus, and the scripts announce them as `?`.
const LONGEST_NONCE: usize = 64;

pub(crate) trait Values {
    /// What lies under the key, if something does.
    fn read(&self, key: &str) -> Answer<Option<Written>>;

    /// The stamps under these keys, all in one round trip. What is wrong with one spoils no other.
    fn stamps(&self, keys: Vec<String>) -> Answer<Vec<Result<Stamp, KeyError>>>;

    /// Writes and announces as one step.
    fn write(&self, key: &str, writing: Writing) -> Answer<Attempt>;

    /// Takes away and announces as one step; the nonce of what was there.
    fn clear(&self, key: &str, name: &str) -> Answer<String>;
}

/// A value as it lies in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Which format it is in: a stranger's word.
    pub(crate) format: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) stamp: Stamp,
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
}

/// What became of a writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It is the version of this number now, and replaced the writing of that nonce.
    Done { version: u64, was: String },
    /// Something else lies there than was expected.
    Overtaken(Option<Written>),
}

/// What a hash says of a value: format, value, version and nonce. Anybody may have written them.
type Fields = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
);

// First what fails on a full or read-only Redis, then what a user may be denied, then the rest: a
// script is not rolled back. So the version is written as it is, before it is counted: whoever may do
// that may write the value, too. A nonce that no bus made is shown as `?`.
static WRITE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r#"
local found = redis.call("HMGET", KEYS[1], "format", "value", "version", "nonce")
local was = found[4] or ""
local is_foreign = was == "" and (found[1] or found[2])
if ARGV[1] == "if" and (is_foreign or was ~= ARGV[2]) then
    return {0, found}
end
if string.find(found[3] or "", "[^%d]") then
    return redis.error_reply("ERR the version is not an integer")
end
if #was > 64 or string.find(was, "%W") then was = "?" end
redis.call("HSET", KEYS[1], "version", found[3] or 0)
local version = string.format("%.0f", redis.call("HINCRBY", KEYS[1], "version", 1))
if ARGV[9] == "" then
    redis.call("PERSIST", KEYS[1])
else
    redis.call("PEXPIRE", KEYS[1], ARGV[9])
end
redis.call("PUBLISH", ARGV[3], '{"event":"tidings.shared","data":{"key":"' .. ARGV[4]
    .. '","version":' .. version .. ',"nonce":"' .. ARGV[7]
    .. '","was":"' .. was .. '"' .. ARGV[8] .. "}}")
redis.call("HSET", KEYS[1], "format", ARGV[5], "value", ARGV[6], "nonce", ARGV[7])
return {1, {false, false, version, was}}
"#,
    )
});

// To take away what is not there shows that the rest may be taken away, before that is announced.
static CLEAR: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r#"
local was = redis.call("HMGET", KEYS[1], "nonce")[1] or ""
if #was > 64 or string.find(was, "%W") then was = "?" end
redis.call("HDEL", KEYS[1], "nothing")
if redis.call("HLEN", KEYS[1]) > 0 then
    redis.call("PUBLISH", ARGV[1], '{"event":"tidings.shared","data":{"key":"' .. ARGV[2]
        .. '","version":0,"nonce":"","was":"' .. was .. '"}}')
    redis.call("HDEL", KEYS[1], "format", "value", "version", "nonce")
end
return was
"#,
    )
});

impl Values for RedisKeys {
    fn read(&self, key: &str) -> Answer<Option<Written>> {
        let mut read = redis::cmd("HMGET");
        read.arg(key).arg(&[FORMAT, VALUE, VERSION, NONCE]);
        let fields = self.ask::<Fields>(read);
        Box::pin(async move { Written::of(fields.await?) })
    }

    fn stamps(&self, keys: Vec<String>) -> Answer<Vec<Result<Stamp, KeyError>>> {
        let mut pipe = redis::pipe();
        for key in keys {
            pipe.cmd("HMGET").arg(key).arg(&[VERSION, NONCE]);
        }
        pipe.ignore_errors();
        let (mut connection, needs) = (self.connection.clone(), self.needs.clone());
        Box::pin(async move {
            let answers = pipe.query_async(&mut connection).await;
            let answers: Vec<RedisResult<Value>> =
                answers.map_err(|error| KeyError::of(&error, &needs))?;
            let stamp = |answer| {
                let (version, nonce) = understood(answer, &needs)?;
                Stamp::of(version, nonce)
            };
            Ok(answers.into_iter().map(stamp).collect())
        })
    }

    fn write(&self, key: &str, writing: Writing) -> Answer<Attempt> {
        let mut script = WRITE.key(key);
        let condition = if writing.expected.is_some() { "if" } else { "" };
        script
            .arg(condition)
            .arg(writing.expected.as_deref().unwrap_or(""))
            .arg(&self.channel)
            .arg(&writing.name)
            .arg(writing.format.to_string())
            .arg(&*writing.payload)
            .arg(&writing.nonce)
            .arg(inlined(writing.inline.as_deref()))
            .arg(milliseconds(writing.time_to_live));
        let answer = self.run::<(bool, Fields)>(script);
        Box::pin(async move {
            let (is_done, fields) = answer.await?;
            if !is_done {
                return Written::of(fields).map(Attempt::Overtaken);
            }
            let (_, _, version, was) = fields;
            // It was written, and where this is not what Redis counted, it is read again.
            Ok(Attempt::Done {
                version: version.and_then(|digits| number(&digits)).unwrap_or(0),
                was: String::from_utf8(was.unwrap_or_default()).unwrap_or_default(),
            })
        })
    }

    fn clear(&self, key: &str, name: &str) -> Answer<String> {
        let mut script = CLEAR.key(key);
        script.arg(&self.channel).arg(name);
        self.run(script)
    }
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| time.as_millis().max(1).to_string())
}

/// Whether every process can read the notification that carries this value, which is one level
/// deeper than the value itself.
pub(crate) fn can_carry(name: &str, value: &[u8]) -> bool {
    let longest = "0".repeat(LONGEST_NONCE);
    let inline = inlined(Some(value));
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
fn inlined(value: Option<&[u8]>) -> Vec<u8> {
    value.map_or_else(Vec::new, |value| [br#","value":"#, value].concat())
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

impl Written {
    fn of((format, payload, version, nonce): Fields) -> Result<Option<Self>, KeyError> {
        let lacks = |field| KeyError::Foreign(format!("it is a hash without `{field}`"));
        let nonce = nonce.filter(|nonce| !nonce.is_empty());
        let (payload, format) = match (payload, format, &nonce) {
            // What is left where Redis denied a writing its announcement is a version alone.
            (None, None, None) => return Ok(None),
            (_, _, None) => return Err(lacks(NONCE)),
            (None, _, _) => return Err(lacks(VALUE)),
            (_, None, _) => return Err(lacks(FORMAT)),
            (Some(payload), Some(format), Some(_)) => (payload, format),
        };
        Ok(Some(Self {
            format: text(FORMAT, format)?,
            payload,
            stamp: Stamp::of(version, nonce)?,
        }))
    }
}

impl Values for MemoryKeys {
    fn read(&self, key: &str) -> Answer<Option<Written>> {
        let written = Written::of(fields(self.lock().hash(key)));
        Box::pin(std::future::ready(written))
    }

    fn stamps(&self, keys: Vec<String>) -> Answer<Vec<Result<Stamp, KeyError>>> {
        let mut kept = self.lock();
        let stamp = |key: &String| {
            let (_, _, version, nonce) = fields(kept.hash(key));
            Stamp::of(version, nonce)
        };
        let stamps = keys.iter().map(stamp).collect();
        Box::pin(std::future::ready(Ok(stamps)))
    }

    fn write(&self, key: &str, writing: Writing) -> Answer<Attempt> {
        let (keys, key) = (self.clone(), key.to_owned());
        Box::pin(async move {
            keys.change(|kept| {
                let found = Written::of(fields(kept.hash(&key)))?;
                let stamp = found.as_ref().map(|found| found.stamp.clone());
                let before = stamp.unwrap_or_default();
                if writing
                    .expected
                    .is_some_and(|expected| expected != before.nonce)
                {
                    return Ok((Attempt::Overtaken(found), None));
                }
                let version = before.version + 1;
                let inline = inlined(writing.inline.as_deref());
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
                hash.expires = writing.time_to_live.map(|time| Instant::now() + time);
                let was = before.nonce;
                Ok((Attempt::Done { version, was }, Some(notice)))
            })
            .await
        })
    }

    fn clear(&self, key: &str, name: &str) -> Answer<String> {
        let (keys, key, name) = (self.clone(), key.to_owned(), name.to_owned());
        Box::pin(async move {
            keys.change(|kept| {
                let was = fields(kept.hash(&key)).3.unwrap_or_default();
                let was = text(NONCE, was)?;
                let gone = kept.hashes.remove(&key);
                let notice = gone.map(|_| notice(&name, 0, "", &was, &[]));
                Ok((was, notice))
            })
            .await
        })
    }
}

fn fields(hash: Option<&Hash>) -> Fields {
    let Some(hash) = hash else {
        return Fields::default();
    };
    let field = |name| hash.get(name).map(<[u8]>::to_vec);
    (field(FORMAT), field(VALUE), field(VERSION), field(NONCE))
}

fn notice(name: &str, version: u64, nonce: &str, was: &str, inlined: &[u8]) -> Vec<u8> {
    let notice = format!(
        r#"{{"event":"tidings.shared","data":{{"key":"{name}","version":{version},"nonce":"{nonce}","was":"{was}""#
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
        let wide = format!("[0{}]", ",0".repeat(Limits::NODES - 2));
        assert!(!can_carry("limit", wide.as_bytes()));
    }
}
