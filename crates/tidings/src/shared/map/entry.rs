//! The format of an entry in Redis: `FORMAT VERSION NONCE PAYLOAD`, with `VERSION@END` if it
//! expires.

use std::any::Any;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::{Duration, Instant};

use crate::error::shared::LoadError;
use crate::error::shown;
use crate::keyspace::map::NEGATIVE;
use crate::shared::codec::read;
use crate::shared::options::Shareable;
use crate::task::FOREVER;

/// The bounds of a map's key.
pub(crate) trait Key: Display + FromStr + Eq + Hash + Clone + Send + Sync + 'static {}
impl<K: Display + FromStr + Eq + Hash + Clone + Send + Sync + 'static> Key for K {}

/// An entry that was read: absent, a value, or an error.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    /// The nonce of its write; empty if it is absent.
    pub(crate) nonce: Arc<str>,
    pub(crate) value: Result<Option<Arc<V>>, LoadError>,
    /// The end of its time to live, if it has one.
    pub(crate) until: Option<Instant>,
}

/// A read that all tasks that want the same entry wait for.
pub(crate) type Reading<V> = BoxFuture<'static, Result<Entry<V>, LoadError>>;

/// The result of a load, for all waiting tasks: the value, `None` if the loader found none.
pub(crate) type Loaded<V> = Result<Option<Arc<V>>, NotLoaded>;

#[derive(Clone)]
pub(crate) enum NotLoaded {
    Unreadable(LoadError),
    /// The loader's error.
    Failed(Arc<dyn Any + Send + Sync>),
}

impl<V> Entry<V> {
    pub(crate) fn absent() -> Self {
        Self {
            nonce: "".into(),
            value: Ok(None),
            until: None,
        }
    }

    /// Returns whether it says that there is no value.
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

/// The maximal length of a key as text, in bytes.
const MAX_KEY_BYTES: usize = 1_024;

/// The name of an entry in failures.
pub(crate) fn entry_name(map: &str, field: &str) -> String {
    format!("{map}[{}]", shown(field))
}

/// Returns the field of a key.
pub(crate) fn field_of<K: Display + FromStr + Eq>(map: &str, key: &K) -> Result<String, LoadError> {
    let field = key.to_string();
    let words = if field.len() > MAX_KEY_BYTES {
        format!("it is longer than {MAX_KEY_BYTES} bytes")
    } else if field.parse().is_ok_and(|parsed: K| parsed == *key) {
        return Ok(field);
    } else {
        // Its changes could not be told from those of another key.
        "its text does not read as this key again".to_owned()
    };
    Err(not_a_key(map, &field, words))
}

/// Returns the key of a field, which any program may have written.
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

/// Decodes an entry that was read at this time of Redis's clock.
///
/// The remaining time to live counts from the request: the latency of the answer is not known, and
/// the entry must not be cached longer than in Redis.
pub(crate) fn read_entry<V: Shareable>(
    name: &str,
    bytes: &[u8],
    now: u64,
    requested: Instant,
) -> Entry<V> {
    let mut parts = bytes.splitn(4, |byte| *byte == b' ');
    let (format, version) = (text(parts.next()), text(parts.next()));
    let (nonce, payload) = (text(parts.next()), parts.next());
    let ttl = version.map(|version| remaining(version, now));
    let (Some(format), Some(nonce), Some(payload), Some(Ok(ttl))) = (format, nonce, payload, ttl)
    else {
        return Entry {
            nonce: fingerprint(bytes),
            until: None,
            value: Err(LoadError::Foreign {
                shared: name.to_owned(),
                words: "it is not written as `FORMAT VERSION NONCE PAYLOAD`".to_owned(),
            }),
        };
    };
    match ttl {
        Some(Duration::ZERO) => Entry::absent(),
        _ => Entry {
            nonce: nonce.into(),
            value: match format {
                NEGATIVE => Ok(None),
                _ => read(name, format, payload).map(|value| Some(Arc::new(value))),
            },
            until: ttl.map(|ttl| requested + ttl.min(FOREVER)),
        },
    }
}

/// Returns the remaining time to live, if the version has an end.
fn remaining(version: &str, now: u64) -> Result<Option<Duration>, ParseIntError> {
    let (number, end) = match version.split_once('@') {
        Some((number, end)) => (number, Some(end.parse::<u64>()?)),
        None => (version, None),
    };
    number.parse::<u64>()?;
    Ok(end.map(|end| Duration::from_millis(end.saturating_sub(now))))
}

fn text(part: Option<&[u8]>) -> Option<&str> {
    let text = str::from_utf8(part?).ok()?;
    (!text.is_empty()).then_some(text)
}

/// Identifies foreign bytes in place of a nonce. No nonce begins with `?`.
pub(crate) fn fingerprint(bytes: &[u8]) -> Arc<str> {
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
    async fn an_entry_may_expire_or_be_negative() {
        let ending = read(b"json 3@1500 9f 41");
        let until = Instant::now() + Duration::from_millis(500);
        assert_eq!((&*ending.nonce, ending.until), ("9f", Some(until)));
        assert_eq!(&*read(b"json 3@1000 9f 41").nonce, "");
        let negative = read(b"none 3@1500 9f ");
        assert!(negative.is_negative() && negative.until == Some(until));
        assert!(read(b"json 3@x 9f 41").value.is_err());
    }

    #[test]
    fn an_entry_has_four_parts() {
        let entry = read(b"json 3 9f8a6c0d1e2b3a4f 41");
        assert_eq!(&*entry.nonce, "9f8a6c0d1e2b3a4f");
        assert_eq!(entry.value.unwrap().as_deref(), Some(&41));
        assert_eq!(
            read(b"msgpack 3 9f 4").value.unwrap().as_deref(),
            Some(&0x34)
        );
    }

    #[test]
    fn an_unreadable_entry_has_an_error() {
        for foreign in [
            &b""[..],
            b"41",
            b"json 3 9f",
            b"json x 9f 41",
            b"json 3  41",
            b"\xff 3 9f 41",
            b"json 3 9f ",
        ] {
            let error = read(foreign).value.unwrap_err();
            assert!(matches!(error, LoadError::Foreign { .. }), "{error}");
        }
        let unknown = read(b"yaml 3 9f 41").value.unwrap_err();
        assert!(matches!(unknown, LoadError::Format { .. }), "{unknown}");
        let other = read(br#"json 3 9f "old""#).value.unwrap_err();
        assert!(matches!(other, LoadError::Decode { .. }), "{other}");
    }

    #[test]
    fn an_entry_without_a_payload_is_no_value_of_a_type_that_can_be_nothing() {
        let entry: Entry<Option<u32>> = read_entry("ages[7]", b"json 3 9f ", 0, Instant::now());
        let error = entry.value.unwrap_err();
        assert!(matches!(error, LoadError::Foreign { .. }), "{error}");
    }

    #[test]
    fn too_deep_nesting_is_an_error() {
        let mut hostile = b"msgpack 3 9f ".to_vec();
        hostile.extend([0x91; 600]);
        let entry: Entry<serde_json::Value> = read_entry("tree[7]", &hostile, 0, Instant::now());
        assert!(matches!(entry.value, Err(LoadError::Decode { .. })));
    }

    #[test]
    fn a_field_must_be_the_exact_text_of_its_key() {
        assert_eq!(key_of::<u64>("ages", b"7").unwrap(), 7);
        for foreign in [&b"007"[..], b"seven", b"", b"\xff"] {
            let error = key_of::<u64>("ages", foreign).unwrap_err();
            assert!(matches!(error, LoadError::Key { .. }), "{error}");
        }
    }

    #[test]
    fn a_key_that_is_too_long_is_rejected() {
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
