//! The two ways to write a value: JSON and MessagePack.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::EncodeError;
use crate::strict::Strict;

/// How a frame and its payloads are written.
///
/// JSON can be read by anyone; MessagePack is smaller and faster. The first byte of a frame tells
/// which it is, so every reader understands both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Text that anything with a JSON parser can read.
    #[default]
    Json,
    /// Binary. Structs are written as maps with the names of their fields, so that the order of
    /// fields does not matter, and new ones do not disturb older readers. Human-readable to serde.
    MessagePack,
}

/// A text that names no format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a format is `json` or `msgpack`")]
pub struct UnknownFormat;

impl Format {
    /// Appends `value` to `into`. On an error `into` is left as it was.
    ///
    /// How deep and how large the value is, is not looked at: readers refuse what exceeds
    /// [`Limits`](crate::Limits).
    ///
    /// ```
    /// use tidings_codec::Format;
    ///
    /// # fn main() -> Result<(), tidings_codec::EncodeError> {
    /// let mut bytes = Vec::new();
    /// Format::Json.encode(&["a", "b"], &mut bytes)?;
    /// assert_eq!(bytes, br#"["a","b"]"#);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When `value` refuses to be serialized, has what the format cannot express, such as NaN or a
    /// map whose keys are structs in JSON, or what not every type could read: a number of 128 bits,
    /// a flattened map whose keys are no texts.
    pub fn encode<T: Serialize + ?Sized>(
        self,
        value: &T,
        into: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let before = into.len();
        let written = match self {
            Self::Json => {
                let mut json = serde_json::Serializer::new(&mut *into);
                let written = value.serialize(Strict::<_, true>(&mut json));
                written.map_err(EncodeError::Json)
            }
            Self::MessagePack => {
                let pack = rmp_serde::Serializer::new(&mut *into).with_struct_map();
                let mut pack = pack.with_human_readable();
                let written = value.serialize(Strict::<_, false>(&mut pack));
                written.map_err(EncodeError::MessagePack)
            }
        };
        if written.is_err() {
            into.truncate(before);
        }
        written
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Json => "json",
            Self::MessagePack => "msgpack",
        })
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "json" => Ok(Self::Json),
            "msgpack" | "messagepack" => Ok(Self::MessagePack),
            _ => Err(UnknownFormat),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_named_in_text() {
        for format in [Format::Json, Format::MessagePack] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("messagepack".parse(), Ok(Format::MessagePack));
        assert_eq!("JSON".parse::<Format>(), Err(UnknownFormat));
    }

    #[test]
    fn a_value_that_cannot_be_written_leaves_the_buffer_as_it_was() {
        struct Half;
        impl Serialize for Half {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::{Error, SerializeSeq};
                let mut list = serializer.serialize_seq(Some(2))?;
                list.serialize_element("first")?;
                Err(S::Error::custom("no second"))
            }
        }
        for format in [Format::Json, Format::MessagePack] {
            let mut bytes = b"before".to_vec();
            format.encode(&Half, &mut bytes).unwrap_err();
            assert_eq!(bytes, b"before");
        }
    }
}
