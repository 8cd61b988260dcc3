//! A value of MessagePack whose type is not known, for writing it as JSON.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Any value of MessagePack. A [`serde_json::Value`] has no numbers that are not finite, no bytes, and
/// no keys but texts.
pub(super) enum AnyValue {
    Nil,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float32(f32),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

impl Serialize for AnyValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Signed(number) => serializer.serialize_i64(*number),
            Self::Unsigned(number) => serializer.serialize_u64(*number),
            Self::Float32(number) => serializer.serialize_f32(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(values) => serializer.collect_seq(values),
            Self::Map(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, value)))
            }
        }
    }
}

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor)
    }
}

struct AnyVisitor;

macro_rules! scalars {
    ($($visit:ident($type:ty) -> $variant:ident;)*) => { $(
        fn $visit<E>(self, value: $type) -> Result<AnyValue, E> {
            Ok(AnyValue::$variant(value.into()))
        }
    )* };
}

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = AnyValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of MessagePack")
    }

    scalars! {
        visit_bool(bool) -> Bool;
        visit_i64(i64) -> Signed;
        visit_u64(u64) -> Unsigned;
        visit_f32(f32) -> Float32;
        visit_f64(f64) -> Float;
        visit_str(&str) -> Text;
        visit_string(String) -> Text;
        visit_bytes(&[u8]) -> Bytes;
        visit_byte_buf(Vec<u8>) -> Bytes;
    }

    fn visit_unit<E>(self) -> Result<AnyValue, E> {
        Ok(AnyValue::Nil)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AnyValue, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(AnyValue::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyValue, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(AnyValue::Map(entries))
    }
}
