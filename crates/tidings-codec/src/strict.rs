//! A serializer that rejects values that a receiver could not read, and forwards all others.
//!
//! Serde buffers values of tagged, untagged and flattened types before it knows their type. It cannot
//! buffer numbers of 128 bits, and the encoded bytes do not say how they will be read. JSON has
//! neither NaN nor infinity: `serde_json` would write `null`, which cannot be read as a number.
//! [`keys`] checks the keys of maps.

mod keys;

use serde::ser::{
    Error as _, Serialize, SerializeSeq, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use self::keys::{StrictMap, StrictStruct};

/// The error of a float in JSON.
const NOT_FINITE: &str = "JSON has no number that is not finite (NaN or infinity)";

/// The error of an integer of 128 bits.
const TOO_WIDE: &str = "numbers of 128 bits cannot be read where a type is tagged, untagged or \
                    flattened: write them as text";

/// The error of raw JSON in MessagePack.
const RAW: &str = "raw JSON (`RawValue`) cannot be written as MessagePack";

/// Wraps a serializer or a value. `JSON` tells the format.
pub(crate) struct Strict<S, const JSON: bool>(pub(crate) S);

impl<T: Serialize + ?Sized, const JSON: bool> Serialize for Strict<&T, JSON> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Strict::<S, JSON>(serializer))
    }
}

macro_rules! forward {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => { $(
        #[inline]
        fn $name(self, $($argument: $type),*) -> Result<S::Ok, S::Error> {
            self.0.$name($($argument),*)
        }
    )* };
}

macro_rules! open {
    ($($name:ident($($argument:ident: $type:ty),*) -> $compound:ident;)*) => { $(
        #[inline]
        fn $name(self, $($argument: $type),*) -> Result<Self::$compound, S::Error> {
            self.0.$name($($argument),*).map(Strict)
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
        self.0.serialize_f32(number)
    }

    #[inline]
    fn serialize_f64(self, number: f64) -> Result<S::Ok, S::Error> {
        if JSON && !number.is_finite() {
            return Err(S::Error::custom(NOT_FINITE));
        }
        self.0.serialize_f64(number)
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
        serialize_str(text: &str);
        serialize_bytes(bytes: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    /// Writes a unit: rmp-serde would write an empty array, which a buffered unit cannot be read from.
    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let map = self.0.serialize_map(len)?;
        // Only for flattened maps serde does not know the number of entries.
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
        if !JSON && name.starts_with("$serde_json::") {
            return Err(S::Error::custom(RAW));
        }
        self.0.serialize_struct(name, len).map(StrictStruct::new)
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
        self.0.serialize_some(&Strict::<_, JSON>(value))
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = Strict::<_, JSON>(value);
        self.0.serialize_newtype_struct(name, &value)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = Strict::<_, JSON>(value);
        self.0
            .serialize_newtype_variant(name, index, variant, &value)
    }

    #[inline]
    fn collect_str<T: std::fmt::Display + ?Sized>(self, text: &T) -> Result<S::Ok, S::Error> {
        self.0.collect_str(text)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! elements {
    ($($compound:ident::$name:ident;)*) => { $(
        impl<S: $compound, const JSON: bool> $compound for Strict<S, JSON> {
            type Ok = S::Ok;
            type Error = S::Error;

            #[inline]
            fn $name<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.0.$name(&Strict::<_, JSON>(value))
            }

            #[inline]
            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
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
        self.0.serialize_field(key, &Strict::<_, JSON>(value))
    }

    #[inline]
    fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
        self.0.skip_field(key)
    }

    #[inline]
    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}
