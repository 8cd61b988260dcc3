//! Reads JSON as `serde_json::Deserializer` does. Floats, long integers and strings with escapes are
//! passed to it one by one; keys that a type reads as numbers are left to it.

use serde::Deserializer as _;
use serde::de::{IgnoredAny, Visitor};
use serde_json::de::SliceRead;

use super::{Hint, Reader, Result, Source};
use crate::scan::{end_of_string, next_special_of_text};

impl<'de> Source<'de> for &'de str {
    /// The closing bracket.
    type End = u8;

    #[inline]
    fn read<V: Visitor<'de>>(
        reader: &mut Reader<Self>,
        hint: Hint,
        visitor: V,
    ) -> Result<V::Value> {
        match (reader.peek(), hint) {
            (b'"', Hint::Any | Hint::String) => reader.string(visitor),
            (b'"', Hint::Ignored) if reader.is_key => reader.string(visitor),
            (_, Hint::Ignored) => {
                Self::read(reader, Hint::Any, IgnoredAny)?;
                visitor.visit_unit()
            }
            (b'{', Hint::Any | Hint::Map | Hint::Struct) => {
                reader.position += 1;
                reader.members(b'}', |entries| visitor.visit_map(entries))
            }
            // A string of bytes is left to serde_json.
            (b'[', Hint::Any | Hint::Array | Hint::Struct | Hint::Bytes) => {
                reader.position += 1;
                reader.members(b']', |elements| visitor.visit_seq(elements))
            }
            (first @ (b't' | b'f'), Hint::Any | Hint::Bool) => {
                let is_true = first == b't';
                reader.literal(if is_true { b"true" } else { b"false" })?;
                visitor.visit_bool(is_true)
            }
            (b'n', Hint::Any | Hint::Unit | Hint::UnitStruct) => {
                reader.literal(b"null")?;
                visitor.visit_unit()
            }
            (b'-' | b'0'..=b'9', Hint::Any | Hint::Number | Hint::Float32) => {
                reader.number(hint, visitor)
            }
            _ => reader.unsure(),
        }
    }

    #[inline]
    fn is_null(reader: &mut Reader<Self>) -> bool {
        reader.peek() == b'n'
    }

    #[inline]
    fn is_more(reader: &mut Reader<Self>, read: usize, end: u8) -> Result<bool> {
        let mut next = reader.peek();
        if next == end {
            return Ok(false);
        }
        if read > 0 {
            reader.expect(b',')?;
            next = reader.peek();
        }
        if end == b'}' && next != b'"' {
            return reader.unsure();
        }
        Ok(true)
    }

    #[inline]
    fn colon(reader: &mut Reader<Self>) -> Result<()> {
        reader.expect(b':')
    }

    #[inline]
    fn close(reader: &mut Reader<Self>, _read: usize, end: u8) -> Result<()> {
        reader.expect(end)
    }

    #[inline]
    fn open_enum(reader: &mut Reader<Self>) -> Result<(bool, u8)> {
        let is_name = reader.peek() == b'"';
        if !is_name {
            reader.expect(b'{')?;
        }
        Ok((is_name, b'}'))
    }
}

impl<'de> Reader<&'de str> {
    /// Returns the next byte that is not white space; 0 at the end.
    #[inline]
    fn peek(&mut self) -> u8 {
        loop {
            match self.payload.as_bytes().get(self.position) {
                Some(byte) if *byte > b' ' => return *byte,
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.position += 1,
                _ => return 0,
            }
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek() != byte {
            return self.unsure();
        }
        self.position += 1;
        Ok(())
    }

    #[inline]
    fn literal(&mut self, literal: &[u8]) -> Result<()> {
        if !self.payload.as_bytes()[self.position..].starts_with(literal) {
            return self.unsure();
        }
        self.position += literal.len();
        Ok(())
    }

    #[inline]
    fn string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let (bytes, start) = (self.payload.as_bytes(), self.position + 1);
        let end = next_special_of_text(bytes, start);
        match bytes.get(end) {
            Some(b'"') => {
                self.position = end + 1;
                visitor.visit_borrowed_str(&self.payload[start..end])
            }
            Some(b'\\') => match end_of_string(bytes, end) {
                Ok(end) => self.by_serde_json(end, |json| json.deserialize_str(visitor)),
                Err(_) => self.unsure(),
            },
            _ => self.unsure(),
        }
    }

    /// Reads a number, by itself if it is an integer of up to 19 digits.
    #[inline]
    fn number<V: Visitor<'de>>(&mut self, hint: Hint, visitor: V) -> Result<V::Value> {
        let number = &self.payload.as_bytes()[self.position..];
        let (is_negative, digits) = match number {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let (mut absolute, mut len) = (0_u64, 0);
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            absolute = absolute.wrapping_mul(10).wrapping_add(digit.into());
            len += 1;
        }
        let is_integer = !matches!(digits.get(len), Some(b'.' | b'e' | b'E'));
        let is_plain = match digits {
            // Minus zero is a float.
            [b'0', ..] => is_integer && len == 1 && !is_negative,
            _ => is_integer && (1..20).contains(&len),
        };
        if is_plain && !is_negative {
            self.position += len;
            return visitor.visit_u64(absolute);
        }
        if is_plain && let Ok(absolute) = i64::try_from(absolute) {
            self.position += 1 + len;
            return visitor.visit_i64(-absolute);
        }
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let end = self.position + number.iter().take_while(is_part).count();
        self.by_serde_json(end, |json| match hint {
            Hint::Any => json.deserialize_any(visitor),
            Hint::Float32 => json.deserialize_f32(visitor),
            _ => json.deserialize_f64(visitor),
        })
    }

    /// Has `serde_json` read the string or number up to `end`.
    #[cold]
    fn by_serde_json<T>(
        &mut self,
        end: usize,
        read: impl FnOnce(&mut serde_json::Deserializer<SliceRead<'de>>) -> serde_json::Result<T>,
    ) -> Result<T> {
        let scalar = &self.payload.as_bytes()[self.position..end];
        let mut json = serde_json::Deserializer::from_slice(scalar);
        let value = read(&mut json);
        self.position = end;
        match value {
            Ok(value) if json.end().is_ok() => Ok(value),
            _ => self.unsure(),
        }
    }
}
