//! A serializer that rejects values that a receiver could not read, and forwards all others.
//!
//! Serde buffers values of tagged, untagged and flattened types before it knows their type. It cannot
//! buffer numbers of 128 bits, and the encoded bytes do not say how they will be read. JSON has
//! neither NaN nor infinity: `serde_json` would write `null`, which cannot be read as a number.
//! [`keys`] checks the keys of maps.

mod keys;

use std::io;

use serde::ser::{
    Error as _, Serialize, SerializeSeq, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use serde_json::ser::Formatter;

use self::keys::{StrictMap, StrictStruct};
use crate::scan::is_plain;

/// The error of a float in JSON.
const NOT_FINITE: &str = "JSON has no number that is not finite (NaN or infinity)";

/// The error of an integer of 128 bits.
const TOO_WIDE: &str = "numbers of 128 bits cannot be read where a type is tagged, untagged or \
                    flattened: write them as text";

/// The error of raw JSON in MessagePack.
const RAW: &str = "raw JSON (`RawValue`) cannot be written as MessagePack";

/// Wraps a serializer or a value. `JSON` tells the format.
pub(crate) struct Strict<S, const JSON: bool> {
    inner: S,
    /// False for a key and for raw JSON, which `serde_json` takes as `str` only.
    is_value: bool,
}

impl<S, const JSON: bool> Strict<S, JSON> {
    #[inline]
    pub(crate) const fn new(inner: S) -> Self {
        Self::with(inner, true)
    }

    #[inline]
    const fn with(inner: S, is_value: bool) -> Self {
        Self { inner, is_value }
    }

    /// Wraps what is written in the same place.
    #[inline]
    fn wrap<T>(&self, inner: T) -> Strict<T, JSON> {
        Strict::with(inner, self.is_value)
    }
}

/// Writes JSON as `serde_json` does, and bytes as a text: [`Strict`] passes texts without characters
/// to escape as bytes, because `serde_json` looks for such characters one by one.
pub(crate) struct Compact;

impl Formatter for Compact {
    #[inline]
    fn write_byte_array<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        text: &[u8],
    ) -> io::Result<()> {
        writer.write_all(b"\"")?;
        writer.write_all(text)?;
        writer.write_all(b"\"")
    }
}

impl<T: Serialize + ?Sized, const JSON: bool> Serialize for Strict<&T, JSON> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(self.wrap(serializer))
    }
}

macro_rules! forward {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => { $(
        #[inline]
        fn $name(self, $($argument: $type),*) -> Result<S::Ok, S::Error> {
            self.inner.$name($($argument),*)
        }
    )* };
}

macro_rules! open {
    ($($name:ident($($argument:ident: $type:ty),*) -> $compound:ident;)*) => { $(
        #[inline]
        fn $name(self, $($argument: $type),*) -> Result<Self::$compound, S::Error> {
            self.inner.$name($($argument),*).map(Strict::new)
        }
    )* };
}

impl<S: Serializer, const JSON: bool> Serializer for Strict<S, JSON> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Strict<S::SerializeSeq, JSON>;
    type SerializeTuple = Strict<S::SerializeTuple, JSON>;
    type SerializeTupleStruct = Strict<S::SerializeTupleStruct, JSON>;
    type SerializeTupleVariant = Strict<S::SerializeTupleVariant, JSON>;
    type SerializeMap = StrictMap<S::SerializeMap, JSON>;
    type SerializeStruct = StrictStruct<S::SerializeStruct, JSON>;
    type SerializeStructVariant = Strict<S::SerializeStructVariant, JSON>;

    #[inline]
    fn serialize_f32(self, number: f32) -> Result<S::Ok, S::Error> {
        if JSON && !number.is_finite() {
            return Err(S::Error::custom(NOT_FINITE));
        }
        self.inner.serialize_f32(number)
    }

    #[inline]
    fn serialize_f64(self, number: f64) -> Result<S::Ok, S::Error> {
        if JSON && !number.is_finite() {
            return Err(S::Error::custom(NOT_FINITE));
        }
        self.inner.serialize_f64(number)
    }

    fn serialize_i128(self, _number: i128) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom(TOO_WIDE))
    }

    fn serialize_u128(self, _number: u128) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom(TOO_WIDE))
    }

    forward! {
        serialize_bool(value: bool);
        serialize_i8(number: i8);
        serialize_i16(number: i16);
        serialize_i32(number: i32);
        serialize_i64(number: i64);
        serialize_u8(number: u8);
        serialize_u16(number: u16);
        serialize_u32(number: u32);
        serialize_u64(number: u64);
        serialize_char(character: char);
        serialize_none();
        serialize_unit();
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<S::Ok, S::Error> {
        if JSON && self.is_value && is_plain(text) {
            return self.inner.serialize_bytes(text.as_bytes());
        }
        self.inner.serialize_str(text)
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Result<S::Ok, S::Error> {
        if JSON {
            return self.inner.collect_seq(bytes);
        }
        self.inner.serialize_bytes(bytes)
    }

    /// Writes a unit: rmp-serde would write an empty array, which a buffered unit cannot be read from.
    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let map = self.inner.serialize_map(len)?;
        // Serde's derive writes a struct with flattened fields so: it does not know their number.
        let is_flattened = len.is_none();
        Ok(StrictMap::new(map, is_flattened))
    }

    #[inline]
    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        // `serde_json` passes raw JSON by this name.
        let is_raw = name.starts_with("$serde_json::");
        if !JSON && is_raw {
            return Err(S::Error::custom(RAW));
        }
        let fields = self.inner.serialize_struct(name, len)?;
        Ok(StrictStruct::new(fields, is_raw))
    }

    open! {
        serialize_seq(len: Option<usize>) -> SerializeSeq;
        serialize_tuple(len: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct;
        serialize_tuple_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ) -> SerializeTupleVariant;
        serialize_struct_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ) -> SerializeStructVariant;
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let value = self.wrap(value);
        self.inner.serialize_some(&value)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = self.wrap(value);
        self.inner.serialize_newtype_struct(name, &value)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = Strict::<_, JSON>::new(value);
        self.inner
            .serialize_newtype_variant(name, index, variant, &value)
    }

    #[inline]
    fn collect_str<T: std::fmt::Display + ?Sized>(self, text: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(text)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! elements {
    ($($compound:ident::$name:ident;)*) => { $(
        impl<S: $compound, const JSON: bool> $compound for Strict<S, JSON> {
            type Ok = S::Ok;
            type Error = S::Error;

            #[inline]
            fn $name<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.inner.$name(&Strict::<_, JSON>::new(value))
            }

            #[inline]
            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        }
    )* };
}

elements! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

impl<S: SerializeStructVariant, const JSON: bool> SerializeStructVariant for Strict<S, JSON> {
    type Ok = S::Ok;
    type Error = S::Error;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), S::Error> {
        self.inner
            .serialize_field(key, &Strict::<_, JSON>::new(value))
    }

    #[inline]
    fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
        self.inner.skip_field(key)
    }

    #[inline]
    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}
