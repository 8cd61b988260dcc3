//! A type that reads any payload, calls methods of its deserializer at random, and records all calls
//! of its visitors. Equal records prove that two deserializers make the same calls.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The record of a payload.
#[derive(PartialEq, Eq)]
pub(crate) struct Probe(String);

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// Chooses the calls of the next probes.
pub(crate) fn seed(seed: u64) {
    SEED.set(seed);
}

/// Returns a number below `below`.
fn random(below: u64) -> u64 {
    let next = RANDOM
        .get()
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    RANDOM.set(next);
    (next >> 33) % below
}

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Each reader sees the same calls.
        RANDOM.set(SEED.get());
        call(deserializer).map(Self)
    }
}

/// The record of a value that is read by one method, the one of this number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct By<const METHOD: u64>(String);

impl<'de, const METHOD: u64> Deserialize<'de> for By<METHOD> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RANDOM.set(SEED.get());
        call_method(METHOD, deserializer).map(Self)
    }
}

/// Calls a method: that of any value for one half, to reach the inner values.
fn call<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    call_method(random(60), deserializer)
}

fn call_method<'de, D: Deserializer<'de>>(
    method: u64,
    deserializer: D,
) -> Result<String, D::Error> {
    const FIELDS: &[&str] = &["id", "customer", "inner"];
    match method {
        0 => deserializer.deserialize_bool(Record),
        1 => deserializer.deserialize_i8(Record),
        2 => deserializer.deserialize_i16(Record),
        3 => deserializer.deserialize_i32(Record),
        4 => deserializer.deserialize_i64(Record),
        5 => deserializer.deserialize_u8(Record),
        6 => deserializer.deserialize_u16(Record),
        7 => deserializer.deserialize_u32(Record),
        8 => deserializer.deserialize_u64(Record),
        9 => deserializer.deserialize_f32(Record),
        10 => deserializer.deserialize_f64(Record),
        11 => deserializer.deserialize_char(Record),
        12 => deserializer.deserialize_str(Record),
        13 => deserializer.deserialize_string(Record),
        14 => deserializer.deserialize_bytes(Record),
        15 => deserializer.deserialize_byte_buf(Record),
        16 => deserializer.deserialize_unit(Record),
        17 => deserializer.deserialize_unit_struct("Unit", Record),
        18 => deserializer.deserialize_newtype_struct("Newtype", Record),
        19 => deserializer.deserialize_seq(Record),
        20 => deserializer.deserialize_tuple(2, Record),
        21 => deserializer.deserialize_tuple_struct("Tuple", 2, Record),
        22 => deserializer.deserialize_map(Record),
        23 => deserializer.deserialize_struct("Struct", FIELDS, Record),
        24 => deserializer.deserialize_enum("Enum", FIELDS, Record),
        25 => deserializer.deserialize_identifier(Record),
        26 => deserializer.deserialize_ignored_any(Record),
        27 => deserializer.deserialize_i128(Record),
        28 => deserializer.deserialize_u128(Record),
        29..34 => deserializer.deserialize_option(Record),
        34 => Ok("nothing;".to_owned()),
        35 | 36 => Ok(call(deserializer).unwrap_or_else(|_| "error;".to_owned())),
        _ => deserializer.deserialize_any(Record),
    }
}

struct Call;

impl<'de> DeserializeSeed<'de> for Call {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        call(deserializer)
    }
}

/// Returns the record of a scalar; sometimes an error, as a type does for a value out of its range.
fn scalar<E: Error>(method: &str, value: impl fmt::Debug) -> Result<String, E> {
    if random(40) == 0 {
        return Err(E::custom("out of range"));
    }
    Ok(format!("{method} {value:?};"))
}

struct Record;

macro_rules! scalars {
    ($($method:ident($type:ty))*) => { $(
        fn $method<E: Error>(self, value: $type) -> Result<String, E> {
            scalar(stringify!($method), value)
        }
    )* };
}

impl<'de> Visitor<'de> for Record {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    scalars! {
        visit_bool(bool) visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128)
        visit_u8(u8) visit_u16(u16) visit_u32(u32) visit_u64(u64) visit_u128(u128) visit_char(char)
        visit_f32(f32) visit_f64(f64)
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String)
        visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<String, E> {
        scalar("none", ())
    }

    fn visit_unit<E: Error>(self) -> Result<String, E> {
        scalar("unit", ())
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<String, D::Error> {
        Ok(format!("some({})", call(inner)?))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<String, D::Error> {
        Ok(format!("newtype({})", call(inner)?))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<String, A::Error> {
        let mut record = "[".to_owned();
        for _ in 0..50 {
            match elements.next_element_seed(Call) {
                Ok(Some(element)) => record.push_str(&element),
                Ok(None) => break,
                Err(error) if random(4) > 0 => return Err(error),
                Err(_) => record.push_str("error;"),
            }
            // A type may stop early.
            if random(60) == 0 {
                break;
            }
        }
        Ok(record + "]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<String, A::Error> {
        let mut record = "{".to_owned();
        for _ in 0..50 {
            match entries.next_key_seed(Call) {
                Ok(Some(key)) => record.push_str(&key),
                Err(error) if random(4) > 0 => return Err(error),
                // No type asks for a value without a key.
                Ok(None) | Err(_) => break,
            }
            // A type may forget a value.
            if random(10) > 0 {
                match entries.next_value_seed(Call) {
                    Ok(value) => record.push_str(&value),
                    Err(error) if random(4) > 0 => return Err(error),
                    Err(_) => record.push_str("error;"),
                }
            }
            if random(60) == 0 {
                break;
            }
        }
        Ok(record + "}")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<String, A::Error> {
        let (name, variant) = access.variant_seed(Call)?;
        let content = match random(12) {
            0..4 => variant.unit_variant().map(|()| "unit;".to_owned()),
            4..8 => variant.newtype_variant_seed(Call),
            8 | 9 => variant.tuple_variant(2, Record),
            10 => variant.struct_variant(&["id"], Record),
            _ => Ok("nothing;".to_owned()),
        };
        match content {
            Err(_) if random(4) == 0 => Ok(format!("{name} error;")),
            content => Ok(format!("{name} {}", content?)),
        }
    }
}
