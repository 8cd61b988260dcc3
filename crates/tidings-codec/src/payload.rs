//! The value that an event carries, still as bytes.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::error::escaped;
use crate::scan::{Bounds, Scanner, Verdict};
use crate::{DecodeError, EncodeError, Escaped, Format, Limits, number_keys, walk};

/// A payload: bytes in a format, decoded only when somebody wants them.
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
    /// The payload that `bytes` are in this format; no bytes at all are null.
    pub fn new(format: Format, bytes: &'a [u8]) -> Self {
        let bytes = if bytes.is_empty() {
            null(format)
        } else {
            bytes
        };
        Self { format, bytes }
    }

    /// The format of the bytes.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The bytes: one whole value. Where an event had no payload, the format's null.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the bytes are one value, and nothing else.
    pub(crate) fn is_whole(&self) -> bool {
        match self.format {
            Format::Json => {
                let mut scanner = Scanner::new(self.bytes);
                matches!(scanner.value(Bounds::PAYLOAD), Ok(Verdict::Fine))
                    && scanner.peek().is_none()
            }
            Format::MessagePack => walk::check(self.bytes).is_ok(),
        }
    }

    /// Whether the value is null: what is sent for `()` and `None`, and what a missing payload is.
    pub fn is_null(&self) -> bool {
        match self.format {
            Format::Json => self.bytes.trim_ascii() == null(Format::Json),
            Format::MessagePack => self.bytes == null(Format::MessagePack),
        }
    }

    /// Reads the value.
    ///
    /// In both formats an array is accepted where a struct is expected, its elements being the
    /// fields in their order; unknown fields are for the type to accept or refuse. Extensions of
    /// MessagePack are skipped with the fields that they stand in, and never read.
    ///
    /// # Errors
    ///
    /// When the bytes are not one whole value, exceed [`Limits::DEPTH`] or [`Limits::NODES`], or
    /// are not what `T` expects.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        match self.format {
            Format::Json => self.decode_json(),
            Format::MessagePack => self.decode_message_pack(),
        }
    }

    fn decode_json<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        match verdict(Format::Json, self.bytes) {
            Verdict::Fine => {}
            Verdict::TooDeep => return Err(DecodeError::TooDeep),
            Verdict::TooManyNodes => return Err(DecodeError::TooManyNodes),
        }
        // All bytes are checked at once: serde_json would look at each text by itself.
        let decoded = match str::from_utf8(self.bytes) {
            Ok(text) => serde_json::from_str(text),
            // It says where, and takes what is not UTF-8 where that is not needed.
            Err(_) => serde_json::from_slice(self.bytes),
        };
        decoded.or_else(|error: serde_json::Error| {
            if !error.is_data() {
                return Err(DecodeError::Json(escaped(error)));
            }
            number_keys::decode(self.bytes).map_err(|_| DecodeError::Json(escaped(error)))
        })
    }

    fn decode_message_pack<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        walk::check(self.bytes)?;
        let deserializer = rmp_serde::Deserializer::from_read_ref(self.bytes);
        let mut deserializer = deserializer.with_human_readable();
        // The walk bounds what the input can nest. This bounds types that contain themselves,
        // and leaves room for the enums and newtypes that count as levels of their own.
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

/// Whether readers will take a payload that was just written.
pub(crate) fn check_bounds(format: Format, payload: &[u8]) -> Result<(), EncodeError> {
    match verdict(format, payload) {
        Verdict::Fine => Ok(()),
        Verdict::TooDeep => Err(EncodeError::TooDeep),
        Verdict::TooManyNodes => Err(EncodeError::TooManyNodes),
    }
}

/// Whether a payload keeps to the limits. Whether it is a value at all is for serde to know.
///
/// Most payloads have not enough brackets to be nested too deep, nor enough bytes to have too many
/// values, and counting is much cheaper than looking.
fn verdict(format: Format, payload: &[u8]) -> Verdict {
    if payload.len() <= Limits::NODES && openings(format, payload) <= Limits::DEPTH {
        return Verdict::Fine;
    }
    match format {
        Format::Json => Scanner::new(payload)
            .value(Bounds::PAYLOAD)
            .unwrap_or(Verdict::Fine),
        Format::MessagePack => match walk::check(payload) {
            Err(DecodeError::TooDeep) => Verdict::TooDeep,
            Err(DecodeError::TooManyNodes) => Verdict::TooManyNodes,
            Ok(()) | Err(_) => Verdict::Fine,
        },
    }
}

/// How many arrays and maps there are at most: bytes in texts and numbers count too.
fn openings(format: Format, payload: &[u8]) -> usize {
    match format {
        Format::Json => count(payload, |byte| matches!(byte, b'[' | b'{')),
        Format::MessagePack => count(payload, |byte| matches!(byte, 0x80..=0x9f | 0xdc..=0xdf)),
    }
}

fn count(bytes: &[u8], is_one: impl Fn(u8) -> bool) -> usize {
    // So many fit a byte, and bytes are what a processor adds most of at once.
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
    fn what_is_written_is_kept_to_what_is_read() {
        for format in [Format::Json, Format::MessagePack] {
            assert!(check(format, &nested(Limits::DEPTH)).is_ok());
            let too_deep = check(format, &nested(Limits::DEPTH + 1));
            assert!(matches!(too_deep, Err(EncodeError::TooDeep)), "{format:?}");

            assert!(check(format, &json!(vec![0; Limits::NODES - 1])).is_ok());
            let too_many = check(format, &json!(vec![0; Limits::NODES]));
            assert!(
                matches!(too_many, Err(EncodeError::TooManyNodes)),
                "{format:?}"
            );
        }
    }

    #[test]
    fn many_values_beside_each_other_are_not_deep() {
        let wide = json!(vec![json!({ "a": [] }); 1_000]);
        for format in [Format::Json, Format::MessagePack] {
            assert!(check(format, &wide).is_ok());
        }
    }
}
