//! Reads JSON once more for types that buffer maps whose keys are numbers.
//!
//! JSON writes such keys as text. A type that is tagged, untagged or flattened has serde keep the
//! map before it knows what it is of, and then `"7"` is a text and no number any more. Where that
//! was the reason why a payload could not be read, it can be read with each key that looks like a
//! number, `true` or `false` kept as what it looks like.
//!
//! The same reading helps where a program turns on the feature `arbitrary_precision` of `serde_json`:
//! floats then come as maps, which a buffer keeps and no float reads.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

/// Reads a `T` from a value in which keys may be numbers.
pub(crate) fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    let value: Read = serde_json::from_slice(json)?;
    T::deserialize(value)
}

/// A value to read from. Unlike a [`Value`] it keeps keys that are there twice, which types refuse.
enum Read {
    Scalar(Value),
    Float(f64),
    Array(Vec<Read>),
    Object(Vec<(String, Read)>),
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Keep)
    }
}

struct Keep;

/// The only key of the map that a float is with `arbitrary_precision`; its digits are the text there.
const FLOAT: &str = "$serde_json::private::Number";

/// The float that these entries are, if they are one.
fn float(entries: &[(String, Read)]) -> Option<f64> {
    match entries {
        [(key, Read::Scalar(Value::String(digits)))] if key == FLOAT => digits.parse().ok(),
        _ => None,
    }
}

macro_rules! scalars {
    ($($visit:ident: $type:ty;)*) => { $(
        fn $visit<E>(self, value: $type) -> Result<Read, E> {
            Ok(Read::Scalar(value.into()))
        }
    )* };
}

impl<'de> Visitor<'de> for Keep {
    type Value = Read;

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

    fn visit_unit<E>(self) -> Result<Read, E> {
        Ok(Read::Scalar(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Read, A::Error> {
        let mut kept = Vec::new();
        while let Some(element) = elements.next_element()? {
            kept.push(element);
        }
        Ok(Read::Array(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Read, A::Error> {
        let mut kept = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            kept.push(entry);
        }
        Ok(float(&kept).map_or(Read::Object(kept), Read::Float))
    }
}

impl IntoDeserializer<'_, Error> for Read {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Read {
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
                "an enum is a text or an object with one entry",
            )),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The key of an entry: what is asked of it, or what it looks like where nothing is.
struct Key(String);

impl Key {
    fn parse<T: FromStr<Err: Display>>(&self) -> Result<T, Error> {
        self.0.parse().map_err(Error::custom)
    }

    /// What `serde_json` writes for a number or a boolean, if it is that.
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

    // A field is a text: a number would be taken for its place among the fields.
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

    /// As `serde_json` passes floats on with its feature `arbitrary_precision`.
    #[test]
    fn a_float_that_comes_as_a_map_is_read_where_serde_buffers_it() {
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
