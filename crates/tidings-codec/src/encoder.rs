//! Writes the payload of one event.

use serde::Serialize;

use crate::{EncodeError, Format, Payload};

/// Writes the payload of one event, exactly once.
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
    /// Creates an encoder that appends to `into`.
    pub const fn new(format: Format, into: &'a mut Vec<u8>) -> Self {
        Self { format, into }
    }

    /// Returns the format of the payload.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Encodes a value with serde.
    ///
    /// # Errors
    ///
    /// When serde cannot encode the value in this format.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.format.encode(value, self.into)
    }

    /// Copies an encoded payload.
    ///
    /// # Errors
    ///
    /// When it has the other format, or is not one complete value.
    pub fn copy(self, payload: Payload<'_>) -> Result<(), EncodeError> {
        if payload.format() != self.format || !payload.is_one_value() {
            return Err(EncodeError::InvalidPayload);
        }
        self.into.extend_from_slice(payload.bytes());
        Ok(())
    }
}
