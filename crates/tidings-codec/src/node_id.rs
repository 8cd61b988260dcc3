//! Node ids.

#[cfg(feature = "schema")]
mod schema;

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The id of a node, which is one started bus: 128 random bits.
///
/// It is displayed as 32 lower-case hexadecimal digits. Serde writes these digits in human-readable
/// formats, and 16 bytes in others.
///
/// ```
/// use tidings_codec::NodeId;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = NodeId::new(0x7f);
/// assert_eq!(node.to_string(), "0000000000000000000000000000007f");
/// assert_eq!(node.to_string().parse::<NodeId>()?, node);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId([u8; 16]);

/// The error of parsing a [`NodeId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid node id: expected 32 lower-case hexadecimal digits")]
pub struct ParseNodeIdError;

impl NodeId {
    /// Creates the id with this number, most significant byte first.
    pub const fn new(number: u128) -> Self {
        Self(number.to_be_bytes())
    }

    /// Creates the id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the digits of the id in ASCII.
    pub(crate) fn digits(self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }

    /// Parses the digits of an id.
    pub(crate) fn from_digits(text: &[u8]) -> Option<Self> {
        let text: &[u8; 32] = text.try_into().ok()?;
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

const fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<Self, ParseNodeIdError> {
        Self::from_digits(text.as_bytes()).ok_or(ParseNodeIdError)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(NodeIdVisitor)
        } else {
            deserializer.deserialize_bytes(NodeIdVisitor)
        }
    }
}

struct NodeIdVisitor;

impl<'de> Visitor<'de> for NodeIdVisitor {
    type Value = NodeId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node id: 32 lower-case hexadecimal digits or 16 bytes")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<NodeId, E> {
        text.parse()
            .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<NodeId, E> {
        bytes
            .try_into()
            .map(NodeId)
            .map_err(|_| E::invalid_length(bytes.len(), &self))
    }

    // Formats without a byte type write a sequence of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<NodeId, A::Error> {
        let mut bytes = [0; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = numbers
                .next_element()?
                .ok_or_else(|| A::Error::invalid_length(index, &self))?;
        }
        Ok(NodeId(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::new(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);

    #[test]
    fn a_node_id_is_32_lower_case_digits() {
        assert_eq!(NODE.to_string(), "000102030405060708090a0b0c0d0e0f");
        assert_eq!(format!("{NODE:?}").as_bytes(), NODE.digits());
        assert_eq!(NODE.to_string().parse(), Ok(NODE));
        for wrong in [
            "",
            "0",
            "000102030405060708090A0B0C0D0E0F",
            "g00102030405060708090a0b0c0d0e0f",
        ] {
            assert_eq!(wrong.parse::<NodeId>(), Err(ParseNodeIdError), "{wrong}");
        }
    }

    #[test]
    fn serde_writes_digits_in_human_readable_formats_and_bytes_in_others() {
        let text = serde_json::to_string(&NODE).unwrap();
        assert_eq!(text, "\"000102030405060708090a0b0c0d0e0f\"");
        assert_eq!(serde_json::from_str::<NodeId>(&text).unwrap(), NODE);

        let bytes = rmp_serde::to_vec(&NODE).unwrap();
        assert_eq!(bytes[..2], [0xc4, 16]);
        assert_eq!(rmp_serde::from_slice::<NodeId>(&bytes).unwrap(), NODE);
        assert!(rmp_serde::from_slice::<NodeId>(&[0xc4, 1, 0]).is_err());
    }
}
