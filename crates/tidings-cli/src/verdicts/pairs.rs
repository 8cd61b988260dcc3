//! Pairs of types, each with samples. The codec of tidings writes and reads them, and its verdict is
//! compared with that of the check.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::documents;
use crate::contract::tests::{broken, contract_of, reads_all};
use crate::contract::{Contract, Direction};

/// Verdicts that are stricter than serde, and why.
const TOO_STRICT: &[(&str, Direction, &str)] = &[
    ("renamed_with_alias", Direction::NewReadsOld, SERDE_ALIAS),
    ("alias_of_a_variant", Direction::NewReadsOld, SERDE_ALIAS),
    ("other_variant", Direction::OldReadsNew, SERDE_OTHER),
    (
        "value_added_with_other",
        Direction::OldReadsNew,
        SERDE_OTHER,
    ),
    ("none_is_left_out", Direction::OldReadsNew, LEFT_OUT),
    ("none_was_left_out", Direction::NewReadsOld, LEFT_OUT),
    ("tuple_becomes_struct", Direction::NewReadsOld, BY_POSITION),
    ("struct_becomes_tuple", Direction::OldReadsNew, BY_POSITION),
    (
        "other_with_fields_added",
        Direction::OldReadsNew,
        SERDE_OTHER,
    ),
    ("one_address_becomes_any", Direction::NewReadsOld, FORMAT),
    ("tuple_with_default", Direction::NewReadsOld, LAST_ITEM),
    (
        "internal_unit_gets_a_field",
        Direction::OldReadsNew,
        ADJACENT,
    ),
    (
        "unit_variant_becomes_newtype_of_unit",
        Direction::OldReadsNew,
        UNIT_AS_MAP,
    ),
];

/// Verdicts that are laxer than serde, because the schemas of both types are equal.
const UNSEEN: &[(&str, Direction)] = &[
    ("keys_become_addresses", Direction::NewReadsOld),
    ("keys_become_bools", Direction::NewReadsOld),
    ("keys_become_bools", Direction::OldReadsNew),
    ("keys_become_characters", Direction::NewReadsOld),
    ("keys_become_documented", Direction::NewReadsOld),
];

const SERDE_ALIAS: &str = "schemas do not have `#[serde(alias)]`: `#[event(alias(…))]` declares it";
const SERDE_OTHER: &str = "schemas do not have `#[serde(other)]`: an exception declares it";
const LEFT_OUT: &str = "schemas have `null` for an `Option` with `skip_serializing_if`";
const BY_POSITION: &str = "serde reads a struct by position, which breaks when a field is added";
const ADJACENT: &str = "such variants of internal and of adjacent tags have the same schema, and the latter read no content";
const FORMAT: &str = "formats are compared by their names";
const LAST_ITEM: &str = "schemas do not have the `#[serde(default)]` of an item";
const UNIT_AS_MAP: &str = "serde reads `{\"A\":null}` for a variant without fields";

/// The verdicts of the check and of serde on a pair, in one direction.
struct Verdict {
    name: &'static str,
    direction: Direction,
    is_broken: bool,
    reads_all: bool,
    /// True if one version writes what the other reads, as far as the schemas say.
    has_one_schema: bool,
}

pub(super) struct Pair {
    name: &'static str,
    pub(super) old: Contract,
    pub(super) new: Contract,
    /// True if each sample can be read, in both formats: by new readers, by old readers.
    pub(super) reads_all: [bool; 2],
    samples: usize,
}

macro_rules! pairs {
    ($($name:ident: { $($old:item)+ } [$($before:expr),+ $(,)?] => { $($new:item)+ } [$($after:expr),+ $(,)?];)+) => {
        $(
            mod $name {
                #![allow(dead_code, clippy::option_option, clippy::zero_sized_map_values, unreachable_pub, unused_imports, reason = "each pair has its own needs")]

                pub(super) mod old {
                    use super::super::*;
                    $(#[derive(Serialize, Deserialize, JsonSchema)] $old)+
                    pub(in super::super) fn samples() -> Vec<T> { vec![$($before),+] }
                }
                pub(super) mod new {
                    use super::super::*;
                    $(#[derive(Serialize, Deserialize, JsonSchema)] $new)+
                    pub(in super::super) fn samples() -> Vec<T> { vec![$($after),+] }
                }
            }
        )+

        pub(super) fn listed() -> Vec<Pair> {
            vec![$(
                Pair {
                    name: stringify!($name),
                    old: contract_of::<$name::old::T>(),
                    new: contract_of::<$name::new::T>(),
                    reads_all: [
                        reads_all::<_, $name::new::T>(&$name::old::samples()),
                        reads_all::<_, $name::old::T>(&$name::new::samples()),
                    ],
                    samples: $name::old::samples().len() + $name::new::samples().len(),
                }
            ),+]
        }
    };
}

mod unusual;

fn text(text: &str) -> String {
    text.to_owned()
}

fn map<K: Ord, V>(entries: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    entries.into_iter().collect()
}

pairs! {
    // Fields.
    same: { pub struct T { a: u32 } } [T { a: 1 }] => { pub struct T { a: u32 } } [T { a: 2 }];
    order_of_fields: { pub struct T { a: u32, b: String } } [T { a: 1, b: text("x") }]
        => { pub struct T { b: String, a: u32 } } [T { b: text("y"), a: 2 }];
    field_added: { pub struct T { a: u32 } } [T { a: 1 }]
        => { pub struct T { a: u32, b: u32 } } [T { a: 1, b: 2 }];
    field_added_with_default: { pub struct T { a: u32 } } [T { a: 1 }]
        => { pub struct T { a: u32, #[serde(default)] b: u32 } } [T { a: 1, b: 2 }];
    field_added_with_default_of_struct: { pub struct T { a: u32 } } [T { a: 1 }]
        => { #[derive(Default)] #[serde(default)] pub struct T { a: u32, b: Vec<u32> } } [T { a: 1, b: vec![2] }];
    option_added: { pub struct T { a: u32 } } [T { a: 1 }]
        => { pub struct T { a: u32, b: Option<u32> } } [T { a: 1, b: None }, T { a: 1, b: Some(3) }];
    field_removed: { pub struct T { a: u32, b: u32 } } [T { a: 1, b: 2 }]
        => { pub struct T { a: u32 } } [T { a: 1 }];
    field_with_default_removed: { pub struct T { a: u32, #[serde(default)] b: u32 } } [T { a: 1, b: 2 }]
        => { pub struct T { a: u32 } } [T { a: 1 }];
    field_renamed: { pub struct T { name: String } } [T { name: text("x") }]
        => { pub struct T { title: String } } [T { title: text("x") }];
    field_renamed_by_attribute: { pub struct T { name: String } } [T { name: text("x") }]
        => { pub struct T { #[serde(rename = "title")] name: String } } [T { name: text("x") }];
    all_renamed: { pub struct T { user_id: u32 } } [T { user_id: 1 }]
        => { #[serde(rename_all = "camelCase")] pub struct T { user_id: u32 } } [T { user_id: 1 }];
    renamed_with_alias: { pub struct T { name: String } } [T { name: text("x") }]
        => { pub struct T { #[serde(alias = "name")] title: String } } [T { title: text("x") }];
    written_under_another_name: { pub struct T { a: u32 } } [T { a: 1 }]
        => { pub struct T { #[serde(rename(serialize = "b"))] a: u32 } } [T { a: 1 }];
    read_under_another_name: { pub struct T { a: u32 } } [T { a: 1 }]
        => { pub struct T { #[serde(rename(deserialize = "b"))] a: u32 } } [T { a: 1 }];
    no_longer_written: { pub struct T { a: u32, #[serde(default)] b: u32 } } [T { a: 1, b: 2 }]
        => { pub struct T { a: u32, #[serde(default, skip_serializing)] b: u32 } } [T { a: 1, b: 2 }];
    no_longer_written_but_needed: { pub struct T { a: u32, b: u32 } } [T { a: 1, b: 2 }]
        => { pub struct T { a: u32, #[serde(skip_serializing)] b: u32 } } [T { a: 1, b: 2 }];
    no_longer_read: { pub struct T { a: u32, b: u32 } } [T { a: 1, b: 2 }]
        => { pub struct T { a: u32, #[serde(skip_deserializing)] b: u32 } } [T { a: 1, b: 2 }];
    skipped: { pub struct T { a: u32, b: u32 } } [T { a: 1, b: 2 }]
        => { pub struct T { a: u32, #[serde(skip)] b: u32 } } [T { a: 1, b: 2 }];
    default_taken_away: { pub struct T { #[serde(default)] a: u32 } } [T { a: 1 }]
        => { pub struct T { a: u32 } } [T { a: 1 }];
    left_out_if_empty: { pub struct T { a: Vec<u32> } } [T { a: vec![] }]
        => { pub struct T { #[serde(default, skip_serializing_if = "Vec::is_empty")] a: Vec<u32> } } [T { a: vec![] }];
    left_out_if_empty_and_defaulted: { pub struct T { #[serde(default)] a: Vec<u32> } } [T { a: vec![1] }]
        => { pub struct T { #[serde(default, skip_serializing_if = "Vec::is_empty")] a: Vec<u32> } } [T { a: vec![] }, T { a: vec![1] }];
    denied_before: { #[serde(deny_unknown_fields)] pub struct T { a: u32 } } [T { a: 1 }]
        => { #[serde(deny_unknown_fields)] pub struct T { a: u32, #[serde(default)] b: u32 } } [T { a: 1, b: 0 }];
    denied_now: { pub struct T { a: u32, b: u32 } } [T { a: 1, b: 2 }]
        => { #[serde(deny_unknown_fields)] pub struct T { a: u32 } } [T { a: 1 }];
    denied_without_a_change: { pub struct T { a: u32 } } [T { a: 1 }]
        => { #[serde(deny_unknown_fields)] pub struct T { a: u32 } } [T { a: 1 }];
    struct_emptied: { pub struct T { a: u32 } } [T { a: 1 }] => { pub struct T {} } [T {}];

    // Options.
    option_made: { pub struct T { a: u32 } } [T { a: 1 }]
        => { pub struct T { a: Option<u32> } } [T { a: None }, T { a: Some(1) }];
    option_taken_away: { pub struct T { a: Option<u32> } } [T { a: None }] => { pub struct T { a: u32 } } [T { a: 1 }];
    none_is_left_out: { pub struct T { #[serde(default)] a: u32 } } [T { a: 1 }]
        => { pub struct T { #[serde(default, skip_serializing_if = "Option::is_none")] a: Option<u32> } } [T { a: None }, T { a: Some(1) }];
    none_was_left_out: { pub struct T { #[serde(skip_serializing_if = "Option::is_none")] a: Option<u32> } } [T { a: None }, T { a: Some(1) }]
        => { pub struct T { #[serde(default)] a: u32 } } [T { a: 1 }];
    option_of_option: { pub struct T { a: Option<u32> } } [T { a: None }] => { pub struct T { a: Option<Option<u32>> } } [T { a: Some(None) }];
    option_of_a_struct: { pub struct I { x: u32 } pub struct T { a: I } } [T { a: I { x: 1 } }]
        => { pub struct I { x: u32 } pub struct T { a: Option<I> } } [T { a: None }, T { a: Some(I { x: 1 }) }];
    unit_becomes_option: { pub struct T { a: () } } [T { a: () }] => { pub struct T { a: Option<u32> } } [T { a: None }, T { a: Some(1) }];
    payload_becomes_option: { pub struct T(u32); } [T(1)] => { pub struct T(Option<u32>); } [T(None), T(Some(1))];

    // Numbers.
    number_widened: { pub struct T { a: u32 } } [T { a: 7 }] => { pub struct T { a: u64 } } [T { a: u64::MAX }];
    number_narrowed: { pub struct T { a: i64 } } [T { a: i64::MIN }] => { pub struct T { a: i32 } } [T { a: 1 }];
    sign_added: { pub struct T { a: u64 } } [T { a: u64::MAX }] => { pub struct T { a: i64 } } [T { a: -1 }];
    wider_and_signed: { pub struct T { a: u32 } } [T { a: u32::MAX }] => { pub struct T { a: i64 } } [T { a: -1 }];
    integer_becomes_float: { pub struct T { a: u64 } } [T { a: 3 }] => { pub struct T { a: f64 } } [T { a: 0.5 }];
    floats: { pub struct T { a: f32 } } [T { a: 0.5 }] => { pub struct T { a: f64 } } [T { a: 1e300 }];
    integer_becomes_single: { pub struct T { a: u64 } } [T { a: u64::MAX }] => { pub struct T { a: f32 } } [T { a: 0.5 }];
    small_numbers: { pub struct T { a: u8 } } [T { a: 255 }] => { pub struct T { a: i8 } } [T { a: -128 }];
    not_zero: { pub struct T { a: u32 } } [T { a: 0 }] => { pub struct T { a: std::num::NonZeroU32 } } [T { a: std::num::NonZeroU32::MIN }];
    number_becomes_text: { pub struct T { id: u64 } } [T { id: 1 }] => { pub struct T { id: String } } [T { id: text("1") }];
    bool_becomes_number: { pub struct T { a: bool } } [T { a: true }] => { pub struct T { a: u8 } } [T { a: 1 }];
    payload_number_becomes_text: { pub struct T(u32); } [T(1)] => { pub struct T(String); } [T(text("x"))];

    // Texts.
    text_becomes_character: { pub struct T { a: String } } [T { a: text("long") }] => { pub struct T { a: char } } [T { a: 'x' }];
    text_becomes_enum: { pub struct T { a: String } } [T { a: text("?") }]
        => { pub enum E { A, B } pub struct T { a: E } } [T { a: E::A }, T { a: E::B }];
    text_becomes_address: { pub struct T { a: String } } [T { a: text("?") }] => { pub struct T { a: std::net::Ipv4Addr } } [T { a: [127, 0, 0, 1].into() }];

    // Lists and tuples.
    items_changed: { pub struct T { a: Vec<u32> } } [T { a: vec![1] }] => { pub struct T { a: Vec<String> } } [T { a: vec![text("x")] }];
    items_widened: { pub struct T { a: Vec<u8> } } [T { a: vec![1] }] => { pub struct T { a: Vec<u32> } } [T { a: vec![300] }];
    one_becomes_list: { pub struct T { a: u32 } } [T { a: 1 }] => { pub struct T { a: Vec<u32> } } [T { a: vec![1] }];
    list_becomes_set: { pub struct T { a: Vec<u32> } } [T { a: vec![1, 1] }] => { pub struct T { a: BTreeSet<u32> } } [T { a: [1].into() }];
    tuple_longer: { pub struct T(u32, u32); } [T(1, 2)] => { pub struct T(u32, u32, u32); } [T(1, 2, 3)];
    tuple_of_other_types: { pub struct T(u32, u32); } [T(1, 2)] => { pub struct T(u32, String); } [T(1, text("x"))];
    array_becomes_list: { pub struct T { a: [u32; 2] } } [T { a: [1, 2] }] => { pub struct T { a: Vec<u32> } } [T { a: vec![] }, T { a: vec![1, 2] }];
    array_becomes_tuple: { pub struct T { a: [u32; 2] } } [T { a: [1, 2] }] => { pub struct T { a: (u32, u64) } } [T { a: (1, u64::MAX) }];
    list_becomes_tuple: { pub struct T { a: Vec<u32> } } [T { a: vec![] }] => { pub struct T { a: (u32, u32) } } [T { a: (1, 2) }];
    tuple_becomes_struct: { pub struct T(u32, u32); } [T(1, 2)] => { pub struct T { x: u32, y: u32 } } [T { x: 1, y: 2 }];
    struct_becomes_tuple: { pub struct T { x: u32, y: u32 } } [T { x: 1, y: 2 }] => { pub struct T(u32, u32); } [T(1, 2)];
    newtype_becomes_inner: { pub struct N(u32); pub struct T { a: N } } [T { a: N(1) }] => { pub struct T { a: u32 } } [T { a: 1 }];
    newtype_becomes_struct: { pub struct T(u32); } [T(1)] => { pub struct T { id: u32 } } [T { id: 1 }];

    // Maps.
    struct_becomes_map: { pub struct T { a: u32, b: u32 } } [T { a: 1, b: 2 }] => { pub struct T(BTreeMap<String, u32>); } [T(map([(text("c"), 1)]))];
    map_of_other_values: { pub struct T(BTreeMap<String, u32>); } [T(map([(text("a"), 1)]))] => { pub struct T(BTreeMap<String, bool>); } [T(map([(text("a"), true)]))];
    map_of_wider_values: { pub struct T(BTreeMap<String, u32>); } [T(map([(text("a"), 1)]))] => { pub struct T(BTreeMap<String, i64>); } [T(map([(text("a"), -1)]))];
    keys_become_numbers: { pub struct T(BTreeMap<String, u32>); } [T(map([(text("a"), 1)]))] => { pub struct T(BTreeMap<u32, u32>); } [T(map([(7, 1)]))];
    keys_get_a_sign: { pub struct T(BTreeMap<u32, u32>); } [T(map([(1, 1)]))] => { pub struct T(BTreeMap<i64, u32>); } [T(map([(-1, 1)]))];
    map_becomes_list: { pub struct T(BTreeMap<String, u32>); } [T(map([(text("a"), 1)]))] => { pub struct T(Vec<u32>); } [T(vec![1])];
    map_becomes_struct_of_options: { pub struct T(BTreeMap<String, u32>); } [T(map([(text("a"), 1)])), T(map([(text("b"), 1)]))]
        => { pub struct T { a: Option<u32> } } [T { a: None }, T { a: Some(1) }];

    // Any value.
    anything_becomes_number: { pub struct T { a: Value } } [T { a: json!("x") }] => { pub struct T { a: u32 } } [T { a: 1 }];
    struct_becomes_anything: { pub struct T { a: u32 } } [T { a: 1 }] => { pub struct T(Value); } [T(json!([1])), T(json!(null))];
    numeric_keys_become_anything: { pub struct T { a: BTreeMap<u32, u32> } } [T { a: map([(1, 1)]) }] => { pub struct T { a: Value } } [T { a: json!({ "x": 1 }) }];

    // Enums of texts.
    value_added: { pub enum T { A, B } } [T::A, T::B] => { pub enum T { A, B, C } } [T::A, T::B, T::C];
    value_removed: { pub enum T { A, B } } [T::A, T::B] => { pub enum T { A } } [T::A];
    value_renamed: { pub enum T { Ab } } [T::Ab] => { #[serde(rename_all = "snake_case")] pub enum T { Ab } } [T::Ab];
    value_added_with_other: { pub enum T { A, #[serde(other)] Other } } [T::A, T::Other] => { pub enum T { A, B, #[serde(other)] Other } } [T::A, T::B, T::Other];
    alias_of_a_variant: { pub enum T { A } } [T::A] => { pub enum T { #[serde(alias = "A")] B } } [T::B];
    documented_values: { pub enum T { A, B } } [T::A, T::B] => { pub enum T { /// The first.
        A, B } } [T::A, T::B];

    // Enums with fields.
    variant_added: { pub enum T { A(u32) } } [T::A(1)] => { pub enum T { A(u32), B { x: u32 } } } [T::A(1), T::B { x: 1 }];
    variant_gets_fields: { pub enum T { A, B(u32) } } [T::A, T::B(1)] => { pub enum T { A { x: u32 }, B(u32) } } [T::A { x: 1 }, T::B(1)];
    variant_gets_field_with_default: { pub enum T { A { x: u32 } } } [T::A { x: 1 }] => { pub enum T { A { x: u32, #[serde(default)] y: u32 } } } [T::A { x: 1, y: 2 }];
    variant_gets_required_field: { pub enum T { A { x: u32 }, B } } [T::A { x: 1 }, T::B] => { pub enum T { A { x: u32, y: u32 }, B } } [T::A { x: 1, y: 2 }, T::B];
    variant_of_other_type: { pub enum T { A(u32), B(String) } } [T::A(1), T::B(text("x"))] => { pub enum T { A(String), B(String) } } [T::A(text("x")), T::B(text("x"))];
    unit_variant_becomes_newtype_of_unit: { pub enum T { A, B(u32) } } [T::A, T::B(1)] => { pub enum T { A(()), B(u32) } } [T::A(()), T::B(1)];
    tag_becomes_internal: { pub enum T { A { x: u32 } } } [T::A { x: 1 }] => { #[serde(tag = "t")] pub enum T { A { x: u32 } } } [T::A { x: 1 }];
    tag_renamed: { #[serde(tag = "t")] pub enum T { A { x: u32 }, B } } [T::A { x: 1 }, T::B] => { #[serde(tag = "kind")] pub enum T { A { x: u32 }, B } } [T::A { x: 1 }, T::B];
    tag_becomes_adjacent: { #[serde(tag = "t")] pub enum T { A { x: u32 } } } [T::A { x: 1 }] => { #[serde(tag = "t", content = "c")] pub enum T { A { x: u32 } } } [T::A { x: 1 }];
    internal_variant_added: { #[serde(tag = "t")] pub enum T { A { x: u32 } } } [T::A { x: 1 }] => { #[serde(tag = "t")] pub enum T { A { x: u32 }, B { y: u32 } } } [T::A { x: 1 }, T::B { y: 1 }];
    internal_field_added: { #[serde(tag = "t")] pub enum T { A { x: u32 }, B } } [T::A { x: 1 }, T::B] => { #[serde(tag = "t")] pub enum T { A { x: u32, #[serde(default)] y: u32 }, B } } [T::A { x: 1, y: 1 }, T::B];
    internal_denied: { #[serde(tag = "t", deny_unknown_fields)] pub enum T { A { x: u32 } } } [T::A { x: 1 }] => { #[serde(tag = "t", deny_unknown_fields)] pub enum T { A { x: u32, #[serde(default)] y: u32 } } } [T::A { x: 1, y: 1 }];
    internal_newtype: { pub struct I { x: u32 } #[serde(tag = "t")] pub enum T { A(I) } } [T::A(I { x: 1 })] => { pub struct I { x: u64 } #[serde(tag = "t")] pub enum T { A(I) } } [T::A(I { x: u64::MAX })];
    other_variant: { #[serde(tag = "t")] pub enum T { A, #[serde(other)] Other } } [T::A] => { #[serde(tag = "t")] pub enum T { A, B, #[serde(other)] Other } } [T::A, T::B];
    adjacent_variant_removed: { #[serde(tag = "t", content = "c")] pub enum T { A(u32), B } } [T::A(1), T::B] => { #[serde(tag = "t", content = "c")] pub enum T { A(u32) } } [T::A(1)];
    adjacent_content_removed: { #[serde(tag = "t", content = "c")] pub enum T { A(u32), B(f64) } } [T::A(1), T::B(0.5)] => { #[serde(tag = "t", content = "c")] pub enum T { A(u32), B } } [T::A(1), T::B];
    adjacent_content_added: { #[serde(tag = "t", content = "c")] pub enum T { A } } [T::A] => { #[serde(tag = "t", content = "c")] pub enum T { A(u32) } } [T::A(1)];
    internal_unit_gets_a_field: { #[serde(tag = "t")] pub enum T { A, B } } [T::A] => { #[serde(tag = "t")] pub enum T { A { #[serde(default)] x: u32 }, B } } [T::A { x: 1 }, T::B];
    internal_unit_gets_fields: { #[serde(tag = "t")] pub enum T { A, B { x: u32, y: u32 } } } [T::A] => { #[serde(tag = "t")] pub enum T { A { #[serde(default)] x: u32 }, B { x: u32, y: u32 } } } [T::A { x: 1 }];
    adjacent_content_renamed: { #[serde(tag = "t", content = "c")] pub enum T { A(u32), B } } [T::A(1), T::B] => { #[serde(tag = "t", content = "d")] pub enum T { A(u32), B } } [T::A(1), T::B];
    untagged_variant_added: { #[serde(untagged)] pub enum T { N(u32) } } [T::N(1)] => { #[serde(untagged)] pub enum T { N(u32), S(String) } } [T::N(1), T::S(text("x"))];
    struct_becomes_untagged: { pub struct T { a: u32 } } [T { a: 1 }] => { #[serde(untagged)] pub enum T { New { a: u32, b: u32 }, Old { a: u32 } } } [T::New { a: 1, b: 2 }, T::Old { a: 1 }];
    untagged_number_widened: { #[serde(untagged)] pub enum T { N(u32), S(String) } } [T::N(1), T::S(text("x"))] => { #[serde(untagged)] pub enum T { N(u64), S(String) } } [T::N(u64::MAX)];

    // Flattened types.
    part_is_flattened: { pub struct I { x: u32 } pub struct T { a: u32, i: I } } [T { a: 1, i: I { x: 1 } }] => { pub struct I { x: u32 } pub struct T { a: u32, #[serde(flatten)] i: I } } [T { a: 1, i: I { x: 1 } }];
    fields_become_flattened: { pub struct T { a: u32, x: u32 } } [T { a: 1, x: 2 }] => { pub struct I { x: u32 } pub struct T { a: u32, #[serde(flatten)] i: I } } [T { a: 1, i: I { x: 2 } }];
    flattened_map_added: { pub struct T { a: u32, b: String } } [T { a: 1, b: text("x") }] => { pub struct T { a: u32, #[serde(flatten)] rest: BTreeMap<String, u32> } } [T { a: 1, rest: map([(text("c"), 1)]) }];
    flattened_values: { pub struct T { a: u32, #[serde(flatten)] rest: BTreeMap<String, Value> } } [T { a: 1, rest: map([(text("c"), json!("x"))]) }] => { pub struct T { a: u32, #[serde(flatten)] rest: BTreeMap<String, u32> } } [T { a: 1, rest: map([(text("c"), 1)]) }];
    flattened_enum: { pub enum E { A(u32), B { y: u32 } } pub struct T { a: u32, #[serde(flatten)] e: E } } [T { a: 1, e: E::A(1) }, T { a: 1, e: E::B { y: 1 } }] => { pub enum E { A(u32) } pub struct T { a: u32, #[serde(flatten)] e: E } } [T { a: 1, e: E::A(1) }];
    flattened_tagged: { #[serde(tag = "k")] pub enum E { A { x: u32 } } pub struct T { a: u32, #[serde(flatten)] e: E } } [T { a: 1, e: E::A { x: 1 } }] => { #[serde(tag = "k")] pub enum E { A { x: u32, y: u32 } } pub struct T { a: u32, #[serde(flatten)] e: E } } [T { a: 1, e: E::A { x: 1, y: 1 } }];
    flattened_option: { pub struct I { x: u32 } pub struct T { a: u32, #[serde(flatten)] i: I } } [T { a: 1, i: I { x: 1 } }] => { pub struct I { x: u32 } pub struct T { a: u32, #[serde(flatten)] i: Option<I> } } [T { a: 1, i: None }, T { a: 1, i: Some(I { x: 1 }) }];

    // Types within types.
    deep_field_added: { pub struct J { x: u32 } pub struct I { j: Vec<J> } pub struct T { i: Option<I> } } [T { i: Some(I { j: vec![J { x: 1 }] }) }]
        => { pub struct J { x: u32, y: u32 } pub struct I { j: Vec<J> } pub struct T { i: Option<I> } } [T { i: Some(I { j: vec![J { x: 1, y: 2 }] }) }];
    recursive: { pub struct T { id: u32, next: Option<Box<T>> } } [T { id: 1, next: Some(Box::new(T { id: 2, next: None })) }]
        => { pub struct T { id: u32, #[serde(default)] name: String, next: Option<Box<T>> } } [T { id: 1, name: text("x"), next: Some(Box::new(T { id: 2, name: text("y"), next: None })) }];
    recursive_narrowed: { pub struct T { id: u64, next: Vec<T> } } [T { id: 1, next: vec![T { id: u64::MAX, next: vec![] }] }]
        => { pub struct T { id: u32, next: Vec<T> } } [T { id: 1, next: vec![T { id: 2, next: vec![] }] }];
    unit_becomes_struct: { pub struct T; } [T] => { pub struct T { #[serde(default)] a: u32 } } [T { a: 1 }];
    duration_becomes_number: { pub struct T { a: std::time::Duration } } [T { a: std::time::Duration::from_secs(1) }] => { pub struct T { a: u64 } } [T { a: 1 }];
    result_becomes_value: { pub struct T(Result<u32, String>); } [T(Ok(1)), T(Err(text("x")))] => { pub struct T(u32); } [T(1)];
}

/// Returns all pairs.
pub(super) fn pairs() -> Vec<Pair> {
    let mut all = listed();
    all.extend(unusual::listed());
    all
}

fn verdicts() -> (Vec<Verdict>, usize, usize) {
    let pairs = pairs();
    let samples = pairs.iter().map(|pair| pair.samples).sum();
    let mut verdicts = Vec::new();
    for pair in &pairs {
        for (index, direction) in [Direction::NewReadsOld, Direction::OldReadsNew]
            .into_iter()
            .enumerate()
        {
            verdicts.push(Verdict {
                name: pair.name,
                direction,
                is_broken: !broken(&pair.old, &pair.new, direction).is_empty(),
                reads_all: pair.reads_all[index],
                has_one_schema: documents(&pair.old) == documents(&pair.new),
            });
        }
    }
    (verdicts, pairs.len(), samples)
}

#[test]
fn the_check_never_allows_what_serde_cannot_read_and_is_stricter_only_where_it_is_listed() {
    let (verdicts, pairs, samples) = verdicts();
    assert!(pairs >= 80, "{pairs}");
    let shown = |it: &Verdict| format!("{} {:?}", it.name, it.direction);
    let lax = verdicts.iter().filter(|it| !it.is_broken && !it.reads_all);
    let (unseen, lax): (Vec<_>, Vec<_>) = lax.partition(|it| it.has_one_schema);
    let lax: Vec<_> = lax.into_iter().map(shown).collect();
    let strict = verdicts.iter().filter(|it| it.is_broken && it.reads_all);
    let strict: Vec<_> = strict.map(|it| (it.name, it.direction)).collect();
    println!(
        "{pairs} pairs, {samples} samples in two formats: {} of {} verdicts agree, {} too strict, {} \
         too lax, {} of equal schemas",
        verdicts.len() - strict.len() - lax.len() - unseen.len(),
        verdicts.len(),
        strict.len(),
        lax.len(),
        unseen.len(),
    );
    assert!(lax.is_empty(), "too lax: {lax:#?}");
    let mut listed: Vec<_> = TOO_STRICT
        .iter()
        .map(|(name, direction, _)| (*name, *direction))
        .collect();
    listed.sort_unstable();
    let mut strict = strict;
    strict.sort_unstable();
    assert_eq!(strict, listed);
    let mut unseen: Vec<_> = unseen.iter().map(|it| (it.name, it.direction)).collect();
    unseen.sort_unstable();
    assert_eq!(unseen, UNSEEN);
}
