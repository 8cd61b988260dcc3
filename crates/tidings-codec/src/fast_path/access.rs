//! The traits of serde by which a type reads a payload, for both formats.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::{Fields, Hint, Reader, Result, Source, Unsure};

/// Implements methods of `Deserializer`: a hint, and the methods with the types of their arguments
/// before the visitor.
macro_rules! read {
    ($($hint:ident: $($method:ident($($argument:ty),*))*;)*) => { $($(
        fn $method<V: Visitor<'de>>(self, $(_: $argument,)* visitor: V) -> Result<V::Value> {
            S::read(self, Hint::$hint, visitor)
        }
    )*)* };
}

impl<'de, S: Source<'de>> Deserializer<'de> for &mut Reader<S> {
    type Error = Unsure;

    read! {
        Any: deserialize_any();
        Bool: deserialize_bool();
        Number: deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
            deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64()
            deserialize_f64();
        Float32: deserialize_f32();
        String: deserialize_char() deserialize_str() deserialize_string()
            deserialize_identifier();
        Bytes: deserialize_bytes() deserialize_byte_buf();
        Unit: deserialize_unit();
        UnitStruct: deserialize_unit_struct(&'static str);
        Array: deserialize_seq() deserialize_tuple(usize)
            deserialize_tuple_struct(&'static str, usize);
        Map: deserialize_map();
        Ignored: deserialize_ignored_any();
    }

    #[inline]
    fn deserialize_struct<V>(self, _: &str, fields: Fields, visitor: V) -> Result<V::Value>
    where
        V: Visitor<'de>,
    {
        let outer = std::mem::replace(&mut self.fields, fields);
        let value = S::read(self, Hint::Struct, visitor);
        self.fields = outer;
        value
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if !S::is_null(self) {
            return visitor.visit_some(self);
        }
        S::read(self, Hint::Unit, IgnoredAny)?;
        visitor.visit_none()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        // serde_json and rmp-serde read raw JSON and extensions by such names.
        if name.starts_with(['$', '_']) {
            return self.unsure();
        }
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &str,
        _: &[&str],
        visitor: V,
    ) -> Result<V::Value> {
        self.is_key = false;
        match S::open_enum(self)? {
            (true, end) => visitor.visit_enum(&mut Members::new(self, end, true)),
            (false, end) => self.members(end, |variant| visitor.visit_enum(variant)),
        }
    }
}

/// The elements of an array, the entries of a map, or the variant of an enum with its content.
pub(crate) struct Members<'a, 'de, S: Source<'de>> {
    reader: &'a mut Reader<S>,
    /// The number of elements, or of keys and values, that were read.
    pub(super) read: usize,
    end: S::End,
    /// True if this is only the name of a variant.
    is_name: bool,
}

impl<'a, 'de, S: Source<'de>> Members<'a, 'de, S> {
    #[inline]
    pub(super) fn new(reader: &'a mut Reader<S>, end: S::End, is_name: bool) -> Self {
        Self {
            reader,
            read: 0,
            end,
            is_name,
        }
    }

    #[inline]
    fn is_more(&mut self) -> Result<bool> {
        let is_more = S::is_more(self.reader, self.read, self.end)?;
        self.read += usize::from(is_more);
        Ok(is_more)
    }

    /// Returns the reader at the value of a key.
    #[inline]
    fn at_value(&mut self) -> Result<&mut Reader<S>> {
        if self.is_name || self.read.is_multiple_of(2) {
            return self.reader.unsure();
        }
        self.read += 1;
        S::colon(self.reader)?;
        Ok(self.reader)
    }
}

impl<'de, S: Source<'de>> SeqAccess<'de> for &mut Members<'_, 'de, S> {
    type Error = Unsure;

    #[inline]
    fn next_element_seed<D: DeserializeSeed<'de>>(&mut self, seed: D) -> Result<Option<D::Value>> {
        if !self.is_more()? {
            return Ok(None);
        }
        self.reader.value(seed).map(Some)
    }
}

impl<'de, S: Source<'de>> MapAccess<'de> for &mut Members<'_, 'de, S> {
    type Error = Unsure;

    #[inline]
    fn next_key_seed<D: DeserializeSeed<'de>>(&mut self, seed: D) -> Result<Option<D::Value>> {
        if !self.read.is_multiple_of(2) {
            return self.reader.unsure();
        }
        if !self.is_more()? {
            return Ok(None);
        }
        self.reader.is_key = true;
        let key = self.reader.value(seed);
        self.reader.is_key = false;
        key.map(Some)
    }

    #[inline]
    fn next_value_seed<D: DeserializeSeed<'de>>(&mut self, seed: D) -> Result<D::Value> {
        self.at_value()?.value(seed)
    }
}

impl<'de, S: Source<'de>> EnumAccess<'de> for &mut Members<'_, 'de, S> {
    type Error = Unsure;
    type Variant = Self;

    #[inline]
    fn variant_seed<D: DeserializeSeed<'de>>(mut self, seed: D) -> Result<(D::Value, Self)> {
        if self.is_name {
            return Ok((self.reader.value(seed)?, self));
        }
        match self.next_key_seed(seed)? {
            Some(variant) => Ok((variant, self)),
            None => self.reader.unsure(),
        }
    }
}

impl<'de, S: Source<'de>> VariantAccess<'de> for &mut Members<'_, 'de, S> {
    type Error = Unsure;

    #[inline]
    fn unit_variant(self) -> Result<()> {
        if !self.is_name {
            return self.reader.unsure();
        }
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<D: DeserializeSeed<'de>>(self, seed: D) -> Result<D::Value> {
        self.at_value()?.value(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        S::read(self.at_value()?, Hint::Array, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: Fields, visitor: V) -> Result<V::Value> {
        self.at_value()?.deserialize_struct("", fields, visitor)
    }
}
