//! Where a payload is written to: once, as one whole value.

use serde::Serialize;

use crate::{EncodeError, Format, Payload};

/// Takes the payload of one event: whoever gets it can write one value, and touch nothing else.
///
/// ```
/// use tidings_codec::{Encoder, Format};
///
/// # fn main() -> Result<(), tidings_codec::EncodeError> {
/// let mut bytes = Vec::new();
/// Encoder::new(Format::Json, &mut bytes).encode(&["a", "b"])?;
/// assert_eq!(bytes, br#"["a","b"]"#);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Encoder<'a> {
    format: Format,
    into: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// One that appends to `into`.
    pub const fn new(format: Format, into: &'a mut Vec<u8>) -> Self {
        Self { format, into }
    }

    /// How the payload is written.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Writes a value that serde knows.
    ///
    /// # Errors
    ///
    /// When serde cannot write the value in this format.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.format.encode(value, self.into)
    }

    /// Writes a payload that came from elsewhere, as it is.
    ///
    /// # Errors
    ///
    /// When it is of the other format, or not one whole value.
    pub fn copy(self, payload: Payload<'_>) -> Result<(), EncodeError> {
        if payload.format() != self.format || !payload.is_whole() {
            return Err(EncodeError::Broken);
        }
        self.into.extend_from_slice(payload.bytes());
        Ok(())
    }
}
