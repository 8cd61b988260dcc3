//! Decodes JSON again for buffered maps whose keys are numbers.
//!
//! JSON writes such keys as strings. For tagged, untagged and flattened types serde buffers the map
//! before it knows its type, and `"7"` then stays a string. Payloads that fail for this reason are
//! decoded again, with each key that looks like a number, `true` or `false` buffered as such.
//!
//! This also decodes floats if a program enables the feature `arbitrary_precision` of `serde_json`:
//! they are then buffered as maps, which cannot be read as floats.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

/// Decodes a `T` from JSON in which keys may be numbers.
pub(crate) fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    let value: Buffered = serde_json::from_slice(json)?;
    T::deserialize(value)
}

/// A buffered value. Unlike [`Value`] it keeps duplicate keys, which types reject.
enum Buffered {
    Scalar(Value),
    Float(f64),
    Array(Vec<Buffered>),
    Object(Vec<(String, Buffered)>),
}

impl<'de> Deserialize<'de> for Buffered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BufferVisitor)
    }
}

struct BufferVisitor;

/// The only key of a float with `arbitrary_precision`; its value is the text of the number.
const FLOAT: &str = "$serde_json::private::Number";

/// Returns the float if these entries represent one.
fn float(entries: &[(String, Buffered)]) -> Option<f64> {
    match entries {
        [(key, Buffered::Scalar(Value::String(digits)))] if key == FLOAT => digits.parse().ok(),
        _ => None,
    }
}

macro_rules! scalars {
    ($($visit:ident: $type:ty;)*) => { $(
        fn $visit<E>(self, value: $type) -> Result<Buffered, E> {
            Ok(Buffered::Scalar(value.into()))
        }
    )* };
}

impl<'de> Visitor<'de> for BufferVisitor {
    type Value = Buffered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    scalars! {
        visit_bool: bool;
        visit_i64: i64;
        visit_u64: u64;
        visit_f64: f64;
        visit_str: &str;
        visit_string: String;
    }

    fn visit_unit<E>(self) -> Result<Buffered, E> {
        Ok(Buffered::Scalar(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Buffered, A::Error> {
        let mut buffered = Vec::new();
        while let Some(element) = elements.next_element()? {
            buffered.push(element);
        }
        Ok(Buffered::Array(buffered))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Buffered, A::Error> {
        let mut buffered = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            buffered.push(entry);
        }
        Ok(float(&buffered).map_or(Buffered::Object(buffered), Buffered::Float))
    }
}

impl IntoDeserializer<'_, Error> for Buffered {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Buffered {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Array(elements) => {
                let mut elements = SeqDeserializer::new(elements.into_iter());
                let value = visitor.visit_seq(&mut elements)?;
                elements.end().map(|()| value)
            }
            Self::Object(entries) => {
                let entries = entries.into_iter().map(|(key, value)| (Key(key), value));
                let mut entries = MapDeserializer::new(entries);
                let value = visitor.visit_map(&mut entries)?;
                entries.end().map(|()| value)
            }
            Self::Scalar(scalar) => scalar.deserialize_any(visitor),
            Self::Float(float) => visitor.visit_f64(float),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Scalar(Value::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Object(entries) if entries.len() == 1 => {
                let entries = MapDeserializer::new(entries.into_iter());
                let entries = MapAccessDeserializer::new(entries);
                entries.deserialize_enum(name, variants, visitor)
            }
            Self::Scalar(scalar) => scalar.deserialize_enum(name, variants, visitor),
            Self::Float(_) | Self::Array(_) | Self::Object(_) => Err(Error::custom(
                "expected an enum: a string or an object with one entry",
            )),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The key of an entry: the requested type, or the type that it looks like.
struct Key(String);

impl Key {
    fn parse<T: FromStr<Err: Display>>(&self) -> Result<T, Error> {
        self.0.parse().map_err(Error::custom)
    }

    /// Returns the number or boolean if the key is written as `serde_json` writes it.
    fn scalar(&self) -> Option<Value> {
        let value: Value = serde_json::from_str(&self.0).ok()?;
        let is_scalar = value.is_number() || value.is_boolean();
        let written = value.to_string();
        (is_scalar && written == self.0).then_some(value)
    }
}

impl IntoDeserializer<'_, Error> for Key {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident;)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.parse()?)
        }
    )* };
}

impl<'de> Deserializer<'de> for Key {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.scalar() {
            Some(scalar) => scalar.deserialize_any(visitor),
            None => visitor.visit_string(self.0),
        }
    }

    parsed! {
        deserialize_bool visit_bool;
        deserialize_i8 visit_i8;
        deserialize_i16 visit_i16;
        deserialize_i32 visit_i32;
        deserialize_i64 visit_i64;
        deserialize_u8 visit_u8;
        deserialize_u16 visit_u16;
        deserialize_u32 visit_u32;
        deserialize_u64 visit_u64;
        deserialize_f32 visit_f32;
        deserialize_f64 visit_f64;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    // A field name is a string: a number would be taken as the index of a field.
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        Value::String(self.0).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i128 u128 bytes byte_buf unit unit_struct seq tuple tuple_struct map struct ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Floats { long: f64, short: f32, other: u64 },
    }

    /// As `serde_json` passes floats with its feature `arbitrary_precision`.
    #[test]
    fn a_float_in_arbitrary_precision_is_read_from_a_buffered_value() {
        let json = br#"{"long":{"$serde_json::private::Number":"0.1"},
            "short":{"$serde_json::private::Number":"3.4028235e38"},"other":7,"type":"Floats"}"#;
        let floats = Tagged::Floats {
            long: 0.1,
            short: f32::MAX,
            other: 7,
        };
        assert_eq!(decode::<Tagged>(json).unwrap(), floats);
    }
}
