//! The two formats of payloads and frames: JSON and MessagePack.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::EncodeError;
use crate::strict::{Compact, Strict};

/// The format of a frame and its payloads.
///
/// JSON is readable by every program; MessagePack is smaller and faster. The first byte of a frame
/// tells them apart, so every node reads both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Text.
    #[default]
    Json,
    /// Binary. Structs are maps with the names of their fields, so fields can be reordered and added
    /// without breaking older readers. Human-readable to serde.
    MessagePack,
}

/// The error of parsing a [`Format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown format: use `json` or `msgpack`")]
pub struct ParseFormatError;

impl Format {
    /// Encodes `value` and appends it to `into`. On an error, `into` is unchanged.
    ///
    /// The [`Limits`](crate::Limits) are not checked, but readers reject a value that exceeds them.
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
    /// When the `Serialize` impl of `value` fails, when the format cannot express the value (NaN, or a
    /// map whose keys are structs, in JSON), or when not every type could read it (a number of 128
    /// bits, a flattened map whose keys are not strings).
    pub fn encode<T: Serialize + ?Sized>(
        self,
        value: &T,
        into: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let before = into.len();
        let written = match self {
            Self::Json => {
                let mut json = serde_json::Serializer::with_formatter(&mut *into, Compact);
                let written = value.serialize(Strict::<_, true>::new(&mut json));
                written.map_err(EncodeError::Json)
            }
            Self::MessagePack => {
                let pack = rmp_serde::Serializer::new(&mut *into).with_struct_map();
                let mut pack = pack.with_human_readable();
                let written = value.serialize(Strict::<_, false>::new(&mut pack));
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
    type Err = ParseFormatError;

    fn from_str(text: &str) -> Result<Self, ParseFormatError> {
        match text {
            "json" => Ok(Self::Json),
            "msgpack" | "messagepack" => Ok(Self::MessagePack),
            _ => Err(ParseFormatError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_parsed_from_its_name() {
        for format in [Format::Json, Format::MessagePack] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("messagepack".parse(), Ok(Format::MessagePack));
        assert_eq!("JSON".parse::<Format>(), Err(ParseFormatError));
    }

    #[test]
    fn a_failed_encoding_leaves_the_buffer_unchanged() {
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
