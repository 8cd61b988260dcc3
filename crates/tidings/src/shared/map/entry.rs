//! An entry as it lies in Redis: `FORMAT VERSION NONCE PAYLOAD`, with `VERSION@END` where it has an
//! end.

use std::any::Any;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tidings_codec::Payload;
use tokio::time::{Duration, Instant};

use crate::error::shared::LoadError;
use crate::error::shown;
use crate::keyspace::map::NEGATIVE;
use crate::shared::shareable::Shareable;
use crate::shared::value_replica::decode;
use crate::task::FOREVER;

/// What a map's keys can do.
pub(crate) trait Key: Display + FromStr + Eq + Hash + Clone + Send + Sync + 'static {}
impl<K: Display + FromStr + Eq + Hash + Clone + Send + Sync + 'static> Key for K {}

/// An entry as it was read: none is there, or what is there, or why that cannot be read.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    /// The mark of its writing; empty where there is none.
    pub(crate) nonce: Arc<str>,
    pub(crate) value: Result<Option<Arc<V>>, LoadError>,
    /// When its time to live is over, if it has one.
    pub(crate) until: Option<Instant>,
}

/// A read that all who want the same entry wait for.
pub(crate) type Reading<V> = BoxFuture<'static, Result<Entry<V>, LoadError>>;

/// What became of a load, for all who wait for it.
pub(crate) enum Loaded<V> {
    /// The value; `None` where the loader found that there is none.
    Value(Option<Arc<V>>),
    Unreadable(LoadError),
    /// The loader's error.
    Failed(Arc<dyn Any + Send + Sync>),
}

impl<V> Clone for Loaded<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Value(value) => Self::Value(value.clone()),
            Self::Unreadable(error) => Self::Unreadable(error.clone()),
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
        }
    }
}

impl<V> Entry<V> {
    pub(crate) fn absent() -> Self {
        Self {
            nonce: "".into(),
            value: Ok(None),
            until: None,
        }
    }

    /// Whether somebody asked for it and found that there is no value.
    pub(crate) fn is_negative(&self) -> bool {
        matches!(self.value, Ok(None)) && !self.nonce.is_empty()
    }
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self {
            nonce: Arc::clone(&self.nonce),
            value: self.value.clone(),
            until: self.until,
        }
    }
}

/// How long a key may be as text, in bytes.
const LONGEST_KEY: usize = 1_024;

/// What failures call an entry.
pub(crate) fn entry_name(map: &str, field: &str) -> String {
    format!("{map}[{}]", shown(field))
}

/// The name of a key's field.
pub(crate) fn field_of<K: Display + FromStr + Eq>(map: &str, key: &K) -> Result<String, LoadError> {
    let field = key.to_string();
    let words = if field.len() > LONGEST_KEY {
        format!("it is longer than {LONGEST_KEY} bytes")
    } else if field.parse().is_ok_and(|parsed: K| parsed == *key) {
        return Ok(field);
    } else {
        // Changes of it could not be told from changes of others.
        "its text does not read as this key again".to_owned()
    };
    Err(not_a_key(map, &field, words))
}

/// The key of a field, which anybody may have written.
pub(crate) fn key_of<K: Display + FromStr>(map: &str, field: &[u8]) -> Result<K, LoadError> {
    let words = match str::from_utf8(field) {
        Ok(text) => match text.parse::<K>() {
            Ok(key) if key.to_string() == text => return Ok(key),
            _ => format!("it is not written as a {} is", std::any::type_name::<K>()),
        },
        Err(_) => "it is no text".to_owned(),
    };
    Err(not_a_key(map, &String::from_utf8_lossy(field), words))
}

fn not_a_key(map: &str, field: &str, words: String) -> LoadError {
    LoadError::Key {
        shared: map.to_owned(),
        key: shown(field),
        words,
    }
}

/// What the bytes of an entry say at this time of Redis's clock, and what is wrong with them.
///
/// What is left until its end counts from the moment in which Redis was asked: how long the answer
/// was on its way is not known, and the entry must not be at hand longer than in Redis.
pub(crate) fn read_entry<V: Shareable>(
    name: &str,
    bytes: &[u8],
    now: u64,
    asked: Instant,
) -> Entry<V> {
    let mut parts = bytes.splitn(4, |byte| *byte == b' ');
    let (format, version) = (text(parts.next()), text(parts.next()));
    let (nonce, payload) = (text(parts.next()), parts.next());
    let left = version.map(|version| left_of(version, now));
    let (Some(format), Some(nonce), Some(payload), Some(Ok(left))) = (format, nonce, payload, left)
    else {
        return Entry {
            nonce: mark_of(bytes),
            until: None,
            value: Err(LoadError::Foreign {
                shared: name.to_owned(),
                words: "it is not written as `FORMAT VERSION NONCE PAYLOAD`".to_owned(),
            }),
        };
    };
    match left {
        Some(Duration::ZERO) => Entry::absent(),
        _ => Entry {
            nonce: nonce.into(),
            value: read_payload(name, format, payload),
            until: left.map(|left| asked + left.min(FOREVER)),
        },
    }
}

/// How much is left until the end that stands behind a version, if one does.
fn left_of(version: &str, now: u64) -> Result<Option<Duration>, ParseIntError> {
    let (number, end) = match version.split_once('@') {
        Some((number, end)) => (number, Some(end.parse::<u64>()?)),
        None => (version, None),
    };
    number.parse::<u64>()?;
    Ok(end.map(|end| Duration::from_millis(end.saturating_sub(now))))
}

fn read_payload<V: Shareable>(
    name: &str,
    format: &str,
    payload: &[u8],
) -> Result<Option<Arc<V>>, LoadError> {
    if format == NEGATIVE {
        return Ok(None);
    }
    let Ok(format) = format.parse() else {
        return Err(LoadError::Format {
            shared: name.to_owned(),
            format: shown(format),
        });
    };
    match decode(Payload::new(format, payload)) {
        Ok(value) => Ok(Some(Arc::new(value))),
        Err(source) => Err(LoadError::Decode {
            shared: name.to_owned(),
            source: Arc::new(source),
        }),
    }
}

fn text(part: Option<&[u8]>) -> Option<&str> {
    let text = str::from_utf8(part?).ok()?;
    (!text.is_empty()).then_some(text)
}

/// What tells foreign bytes from others; no writer has such a mark.
pub(crate) fn mark_of(bytes: &[u8]) -> Arc<str> {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("?{:016x}", hasher.finish()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Entry<u32> {
        read_entry("ages[7]", bytes, 1_000, Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_may_have_an_end_or_say_that_there_is_no_value() {
        let ending = read(b"json 3@1500 9f 41");
        let until = Instant::now() + Duration::from_millis(500);
        assert_eq!((&*ending.nonce, ending.until), ("9f", Some(until)));
        assert_eq!(&*read(b"json 3@1000 9f 41").nonce, "");
        let negative = read(b"none 3@1500 9f ");
        assert!(negative.is_negative() && negative.until == Some(until));
        assert!(read(b"json 3@x 9f 41").value.is_err());
    }

    #[test]
    fn an_entry_is_four_words() {
        let entry = read(b"json 3 9f8a6c0d1e2b3a4f 41");
        assert_eq!(&*entry.nonce, "9f8a6c0d1e2b3a4f");
        assert_eq!(entry.value.unwrap().as_deref(), Some(&41));
        assert_eq!(
            read(b"msgpack 3 9f 4").value.unwrap().as_deref(),
            Some(&0x34)
        );
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for foreign in [
            &b""[..],
            b"41",
            b"json 3 9f",
            b"json x 9f 41",
            b"json 3  41",
            b"\xff 3 9f 41",
        ] {
            let error = read(foreign).value.unwrap_err();
            assert!(matches!(error, LoadError::Foreign { .. }), "{error}");
        }
        let unknown = read(b"yaml 3 9f 41").value.unwrap_err();
        assert!(matches!(unknown, LoadError::Format { .. }), "{unknown}");
        let other = read(br#"json 3 9f "old""#).value.unwrap_err();
        assert!(matches!(other, LoadError::Decode { .. }), "{other}");
        let nothing = read(b"json 3 9f ").value.unwrap_err();
        assert!(matches!(nothing, LoadError::Decode { .. }), "{nothing}");
    }

    #[test]
    fn nesting_without_end_is_an_error() {
        let mut hostile = b"msgpack 3 9f ".to_vec();
        hostile.extend([0x91; 600]);
        let entry: Entry<serde_json::Value> = read_entry("tree[7]", &hostile, 0, Instant::now());
        assert!(matches!(entry.value, Err(LoadError::Decode { .. })));
    }

    #[test]
    fn a_field_that_is_not_written_as_its_key_is_no_key() {
        assert_eq!(key_of::<u64>("ages", b"7").unwrap(), 7);
        for foreign in [&b"007"[..], b"seven", b"", b"\xff"] {
            let error = key_of::<u64>("ages", foreign).unwrap_err();
            assert!(matches!(error, LoadError::Key { .. }), "{error}");
        }
    }

    #[test]
    fn a_key_that_its_text_does_not_give_back_is_refused() {
        assert_eq!(field_of("ages", &7_u64).unwrap(), "7");
        assert!(field_of("ages", &f64::NAN.to_bits()).is_ok());
        assert!(field_of("ages", &"x".repeat(1_024)).is_ok());
        let error = field_of("ages", &"x".repeat(1_025)).unwrap_err();
        assert!(
            error.to_string().contains("longer than 1024 bytes"),
            "{error}"
        );
        assert!(error.to_string().len() < 200);
    }
}
