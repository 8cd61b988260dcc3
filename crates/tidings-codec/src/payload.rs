//! Encoded payloads, and their limits.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::error::escaped;
use crate::scan::{Bounds, Scanner, Verdict};
use crate::{DecodeError, EncodeError, Escaped, Format, Limits, fast_path, number_keys, walk};

/// An encoded payload of an event: bytes and their format.
///
/// ```
/// use tidings_codec::{Format, Payload};
///
/// # fn main() -> Result<(), tidings_codec::DecodeError> {
/// let payload = Payload::new(Format::Json, b"[1,2,3]");
/// assert_eq!(payload.decode::<Vec<u8>>()?, [1, 2, 3]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    format: Format,
    bytes: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Wraps encoded bytes. No bytes are null.
    #[inline]
    pub fn new(format: Format, bytes: &'a [u8]) -> Self {
        let bytes = if bytes.is_empty() {
            null(format)
        } else {
            bytes
        };
        Self { format, bytes }
    }

    /// Returns the format of the bytes.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Returns the bytes: one complete value. If the event had no payload, the null of the format.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns whether the bytes are exactly one value.
    pub(crate) fn is_one_value(&self) -> bool {
        match self.format {
            Format::Json => {
                let mut scanner = Scanner::new(self.bytes);
                matches!(scanner.value(Bounds::PAYLOAD), Ok(Verdict::Fine))
                    && scanner.peek().is_none()
            }
            Format::MessagePack => walk::check(self.bytes).is_ok(),
        }
    }

    /// Returns whether the value is null: a sent `()` or `None`, or a missing payload.
    pub fn is_null(&self) -> bool {
        match self.format {
            Format::Json => self.bytes.trim_ascii() == null(Format::Json),
            Format::MessagePack => self.bytes == null(Format::MessagePack),
        }
    }

    /// Decodes the value.
    ///
    /// Both formats accept an array for a struct, with the fields in their order. The type decides
    /// whether it accepts unknown fields. MessagePack extensions are skipped in unknown fields, and
    /// never decoded.
    ///
    /// A payload that the fast path of this crate cannot decode is decoded by `serde_json` or rmp-serde
    /// from its start: `T::deserialize` is then called a second time.
    ///
    /// # Errors
    ///
    /// When the bytes are not one complete value, exceed [`Limits::DEPTH`] or [`Limits::VALUES`], or
    /// do not match `T`.
    #[inline]
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        match self.format {
            Format::Json => self.decode_json(),
            Format::MessagePack => self.decode_message_pack(),
        }
    }

    #[inline]
    fn decode_json<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        // One check of all bytes is faster than one per string.
        if let Ok(text) = str::from_utf8(self.bytes)
            && let Ok(value) = fast_path::decode(text)
        {
            return Ok(value);
        }
        match verdict(Format::Json, self.bytes) {
            Verdict::Fine => {}
            Verdict::TooDeep => return Err(DecodeError::TooDeep),
            Verdict::TooManyValues => return Err(DecodeError::TooManyValues),
        }
        // `from_str` would read a key that is not the expected boolean as a string that is not UTF-8.
        let decoded = serde_json::from_slice(self.bytes);
        decoded.or_else(|error: serde_json::Error| {
            if !error.is_data() {
                return Err(DecodeError::Json(escaped(error)));
            }
            number_keys::decode(self.bytes).map_err(|_| DecodeError::Json(escaped(error)))
        })
    }

    fn decode_message_pack<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        if let Ok(value) = fast_path::decode(self.bytes) {
            return Ok(value);
        }
        walk::check(self.bytes)?;
        let deserializer = rmp_serde::Deserializer::from_read_ref(self.bytes);
        let mut deserializer = deserializer.with_human_readable();
        // `check` limits the nesting of the input. This limits recursive types, with room for enums
        // and newtypes, which count as levels of their own.
        deserializer.set_max_depth(4 * Limits::DEPTH);
        T::deserialize(&mut deserializer).map_err(|source| {
            let source = escaped(source);
            match walk::first_extension(self.bytes) {
                Some(position) => DecodeError::Extension { position, source },
                None => DecodeError::MessagePack(source),
            }
        })
    }
}

/// Checks that readers accept a payload that was just written.
#[inline]
pub(crate) fn check_bounds(format: Format, payload: &[u8]) -> Result<(), EncodeError> {
    match verdict(format, payload) {
        Verdict::Fine => Ok(()),
        Verdict::TooDeep => Err(EncodeError::TooDeep),
        Verdict::TooManyValues => Err(EncodeError::TooManyValues),
    }
}

/// Checks a payload against the limits, but not its syntax, which serde checks.
///
/// Most payloads have too few brackets to be nested too deep and too few bytes to have too many
/// values. Counting them is much cheaper than a scan.
fn verdict(format: Format, payload: &[u8]) -> Verdict {
    if payload.len() <= Limits::VALUES && openings(format, payload) <= Limits::DEPTH {
        return Verdict::Fine;
    }
    match format {
        Format::Json => Scanner::new(payload)
            .value(Bounds::PAYLOAD)
            .unwrap_or(Verdict::Fine),
        Format::MessagePack => match walk::check(payload) {
            Err(DecodeError::TooDeep) => Verdict::TooDeep,
            Err(DecodeError::TooManyValues) => Verdict::TooManyValues,
            Ok(()) | Err(_) => Verdict::Fine,
        },
    }
}

/// Returns an upper bound of the number of arrays and maps: bytes in texts and numbers count too.
fn openings(format: Format, payload: &[u8]) -> usize {
    match format {
        Format::Json => count(payload, |byte| matches!(byte, b'[' | b'{')),
        Format::MessagePack => count(payload, |byte| matches!(byte, 0x80..=0x9f | 0xdc..=0xdf)),
    }
}

fn count(bytes: &[u8], is_one: impl Fn(u8) -> bool) -> usize {
    // A count of up to 255 fits a byte, and SIMD adds the most bytes at once.
    let chunks = bytes.chunks(usize::from(u8::MAX));
    chunks
        .map(|chunk| {
            let ones = chunk.iter().map(|byte| u8::from(is_one(*byte)));
            usize::from(ones.sum::<u8>())
        })
        .sum()
}

const fn null(format: Format) -> &'static [u8] {
    match format {
        Format::Json => b"null",
        Format::MessagePack => &[0xc0],
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.format {
            Format::Json => write!(
                f,
                "Payload({})",
                Escaped(String::from_utf8_lossy(self.bytes))
            ),
            Format::MessagePack => write!(f, "Payload({} bytes of MessagePack)", self.bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!("[[[{{{"), |inner, _| json!([inner]))
    }

    fn check(format: Format, value: &Value) -> Result<(), EncodeError> {
        let mut payload = Vec::new();
        format.encode(value, &mut payload)?;
        check_bounds(format, &payload)
    }

    #[test]
    fn a_payload_that_readers_would_reject_is_not_written() {
        for format in [Format::Json, Format::MessagePack] {
            assert!(check(format, &nested(Limits::DEPTH)).is_ok());
            let too_deep = check(format, &nested(Limits::DEPTH + 1));
            assert!(matches!(too_deep, Err(EncodeError::TooDeep)), "{format:?}");

            assert!(check(format, &json!(vec![0; Limits::VALUES - 1])).is_ok());
            let too_many = check(format, &json!(vec![0; Limits::VALUES]));
            assert!(
                matches!(too_many, Err(EncodeError::TooManyValues)),
                "{format:?}"
            );
        }
    }

    #[test]
    fn a_key_that_is_not_the_expected_boolean_is_rejected() {
        for key in ["ä", "\u{1f600}", "tä", "\\u00e4"] {
            let json = format!(r#"{{"{key}":1}}"#);
            let payload = Payload::new(Format::Json, json.as_bytes());
            let decoded = payload.decode::<BTreeMap<bool, u8>>();
            assert!(matches!(decoded, Err(DecodeError::Json(_))), "{json}");
        }
    }

    #[test]
    fn siblings_do_not_count_as_nesting() {
        let wide = json!(vec![json!({ "a": [] }); 1_000]);
        for format in [Format::Json, Format::MessagePack] {
            assert!(check(format, &wide).is_ok());
        }
    }
}
