//! Reads MessagePack as `rmp_serde::Deserializer` does. Extensions, and bytes that a type reads as an
//! array, are left to it.

use rmp::Marker;
use serde::de::Visitor;

use super::{Hint, Reader, Result, Source};

impl<'de> Source<'de> for &'de [u8] {
    /// The number of elements, or of keys and values.
    type End = usize;

    #[inline]
    fn read<V: Visitor<'de>>(
        reader: &mut Reader<Self>,
        hint: Hint,
        visitor: V,
    ) -> Result<V::Value> {
        let marker = Marker::from_u8(reader.fixed().map(u8::from_be_bytes)?);
        let is_number = matches!(hint, Hint::Bool | Hint::Number | Hint::Float32);
        // Most values are short strings.
        if let (false, Marker::FixStr(len)) = (is_number, marker) {
            return reader.string(len.into(), visitor);
        }
        let len: usize = match marker {
            Marker::FixArray(len) | Marker::FixMap(len) => len.into(),
            Marker::Str8 | Marker::Bin8 => u8::from_be_bytes(reader.fixed()?).into(),
            Marker::Str16 | Marker::Bin16 | Marker::Array16 | Marker::Map16 => {
                u16::from_be_bytes(reader.fixed()?).into()
            }
            _ => 0,
        };
        match marker {
            Marker::Null => visitor.visit_unit(),
            Marker::True => visitor.visit_bool(true),
            Marker::False => visitor.visit_bool(false),
            Marker::FixPos(number) => visitor.visit_u8(number),
            Marker::FixNeg(number) => visitor.visit_i8(number),
            Marker::U8 => visitor.visit_u8(u8::from_be_bytes(reader.fixed()?)),
            Marker::U16 => visitor.visit_u16(u16::from_be_bytes(reader.fixed()?)),
            Marker::U32 => visitor.visit_u32(u32::from_be_bytes(reader.fixed()?)),
            Marker::U64 => visitor.visit_u64(u64::from_be_bytes(reader.fixed()?)),
            Marker::I8 => visitor.visit_i8(i8::from_be_bytes(reader.fixed()?)),
            Marker::I16 => visitor.visit_i16(i16::from_be_bytes(reader.fixed()?)),
            Marker::I32 => visitor.visit_i32(i32::from_be_bytes(reader.fixed()?)),
            Marker::I64 => visitor.visit_i64(i64::from_be_bytes(reader.fixed()?)),
            Marker::F32 => visitor.visit_f32(f32::from_be_bytes(reader.fixed()?)),
            Marker::F64 => visitor.visit_f64(f64::from_be_bytes(reader.fixed()?)),
            _ if is_number => reader.unsure(),
            Marker::Str8 | Marker::Str16 => reader.string(len, visitor),
            // rmp-serde reads an empty array as a unit struct.
            Marker::FixArray(0) if hint == Hint::UnitStruct => reader.unsure(),
            Marker::FixArray(_) | Marker::Array16 => {
                reader.members(len, |elements| visitor.visit_seq(elements))
            }
            Marker::FixMap(_) | Marker::Map16 => {
                reader.members(2 * len, |entries| visitor.visit_map(entries))
            }
            Marker::Bin8 | Marker::Bin16 if !matches!(hint, Hint::Array | Hint::Struct) => {
                visitor.visit_borrowed_bytes(reader.take(len)?)
            }
            _ => reader.unsure(),
        }
    }

    #[inline]
    fn is_null(reader: &mut Reader<Self>) -> bool {
        reader.payload.get(reader.position) == Some(&Marker::Null.to_u8())
    }

    #[inline]
    fn is_more(_reader: &mut Reader<Self>, read: usize, end: usize) -> Result<bool> {
        Ok(read < end)
    }

    #[inline]
    fn close(reader: &mut Reader<Self>, read: usize, end: usize) -> Result<()> {
        if read < end {
            return reader.unsure();
        }
        Ok(())
    }

    #[inline]
    fn open_enum(reader: &mut Reader<Self>) -> Result<(bool, usize)> {
        let first = reader.payload.get(reader.position);
        match first.map(|byte| Marker::from_u8(*byte)) {
            Some(Marker::FixStr(_)) => Ok((true, 2)),
            Some(Marker::FixMap(1)) => reader.take(1).map(|_| (false, 2)),
            _ => reader.unsure(),
        }
    }
}

impl<'de> Reader<&'de [u8]> {
    #[inline]
    fn take(&mut self, len: usize) -> Result<&'de [u8]> {
        let start = self.position;
        let Some(taken) = self.payload.get(start..start + len) else {
            return self.unsure();
        };
        self.position += len;
        Ok(taken)
    }

    #[inline]
    fn string<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value> {
        let bytes = self.take(len)?;
        // The name of a field needs no check of UTF-8. Most fields come in their order.
        while let (true, [name, others @ ..]) = (self.is_key, self.fields) {
            self.fields = others;
            if name.as_bytes() == bytes {
                return visitor.visit_borrowed_str(name);
            }
        }
        match str::from_utf8(bytes) {
            Ok(text) => visitor.visit_borrowed_str(text),
            Err(_) => self.unsure(),
        }
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some(taken) = self
            .payload
            .get(self.position..)
            .and_then(<[u8]>::first_chunk)
        else {
            return self.unsure();
        };
        self.position += N;
        Ok(*taken)
    }
}
