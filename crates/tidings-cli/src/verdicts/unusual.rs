//! Pairs of types that are unusual: enums of enums, keys that are no texts, flattened types that deny.

use std::collections::BTreeMap;
use std::num::NonZeroU8;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Pair, map, text};
use crate::contract::tests::{contract_of, reads_all};

mod one {
    use super::{Deserialize, JsonSchema, Serialize};

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) struct I {
        pub(super) a: u32,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) struct G<T> {
        pub(super) it: T,
    }
}

mod two {
    use super::{Deserialize, JsonSchema, Serialize};

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) struct I {
        pub(super) b: String,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) struct G<T> {
        pub(super) it: Vec<T>,
    }
}

pairs! {
    // Types within themselves.
    enum_within_itself: { pub enum T { Leaf(u32), Node(Vec<T>) } } [T::Node(vec![T::Leaf(1)])]
        => { pub enum T { Leaf(u64), Node(Vec<T>) } } [T::Node(vec![T::Leaf(u64::MAX)])];
    variant_within_itself_added: { pub enum T { Leaf, Node(Vec<T>) } } [T::Node(vec![T::Leaf])]
        => { pub enum T { Leaf, Node(Vec<T>), Both(Box<T>, Box<T>) } } [T::Node(vec![T::Both(Box::new(T::Leaf), Box::new(T::Leaf))])];
    two_types_within_each_other: { pub struct B { t: Vec<T> } pub struct T { b: Option<Box<B>> } } [T { b: Some(Box::new(B { t: vec![T { b: None }] })) }]
        => { pub struct B { t: Vec<T>, n: u32 } pub struct T { b: Option<Box<B>> } } [T { b: Some(Box::new(B { t: vec![], n: 1 })) }];
    untagged_within_itself: { #[serde(untagged)] pub enum T { N(u32), L(Vec<T>) } } [T::L(vec![T::N(1)])]
        => { #[serde(untagged)] pub enum T { N(u32), S(String), L(Vec<T>) } } [T::L(vec![T::S(text("x"))])];

    // Untagged enums.
    untagged_variant_removed: { #[serde(untagged)] pub enum T { A { a: u32 }, B { b: u32 } } } [T::A { a: 1 }, T::B { b: 1 }]
        => { #[serde(untagged)] pub enum T { A { a: u32 } } } [T::A { a: 1 }];
    untagged_becomes_option: { #[serde(untagged)] pub enum T { N(()), S(String) } } [T::N(()), T::S(text("x"))]
        => { pub struct T(Option<String>); } [T(None), T(Some(text("x")))];
    untagged_becomes_tagged: { #[serde(untagged)] pub enum T { A { a: u32 } } } [T::A { a: 1 }]
        => { #[serde(tag = "t")] pub enum T { A { a: u32 } } } [T::A { a: 1 }];
    one_variant_is_untagged: { pub enum T { A(u32) } } [T::A(1)]
        => { pub enum T { A(u32), #[serde(untagged)] Other(String) } } [T::A(1), T::Other(text("x"))];

    // Variants that are skipped, or stand for all others.
    variant_no_longer_read: { pub enum T { A, B } } [T::A, T::B] => { pub enum T { A, #[serde(skip_deserializing)] B } } [T::A, T::B];
    variant_no_longer_written: { pub enum T { A, B } } [T::A, T::B] => { pub enum T { A, #[serde(skip_serializing)] B } } [T::A];
    other_with_fields_added: { #[serde(tag = "t")] pub enum T { A { x: u32 }, #[serde(other)] Other } } [T::A { x: 1 }]
        => { #[serde(tag = "t")] pub enum T { A { x: u32 }, B { y: u32 }, #[serde(other)] Other } } [T::A { x: 1 }, T::B { y: 1 }];
    other_of_adjacent: { #[serde(tag = "t", content = "c")] pub enum T { A(u32), #[serde(other)] Other } } [T::A(1)]
        => { #[serde(tag = "t", content = "c")] pub enum T { A(u32), B(u32), #[serde(other)] Other } } [T::A(1), T::B(1)];

    // Variants with several items.
    variant_of_tuple_longer: { pub enum T { A(u32, u32) } } [T::A(1, 2)] => { pub enum T { A(u32, u32, u32) } } [T::A(1, 2, 3)];
    variant_of_tuple_becomes_one: { pub enum T { A(u32, u32) } } [T::A(1, 2)] => { pub enum T { A(u32) } } [T::A(1)];
    variant_of_tuple_becomes_list: { pub enum T { A(u32, u32) } } [T::A(1, 2)] => { pub enum T { A(Vec<u32>) } } [T::A(vec![1])];
    adjacent_variant_of_tuple: { #[serde(tag = "t", content = "c")] pub enum T { A(u32, String) } } [T::A(1, text("x"))]
        => { #[serde(tag = "t", content = "c")] pub enum T { A(u32, u32) } } [T::A(1, 2)];
    tuple_with_default: { pub struct T(u32, u32); } [T(1, 2)] => { pub struct T(u32, u32, #[serde(default)] u32); } [T(1, 2, 3)];
    internal_variant_of_a_map: { #[serde(tag = "t")] pub enum T { A(BTreeMap<String, u32>) } } [T::A(map([(text("x"), 1)]))]
        => { #[serde(tag = "t")] pub enum T { A(BTreeMap<String, u64>) } } [T::A(map([(text("x"), u64::MAX)]))];
    internal_variant_of_an_enum: { #[serde(tag = "k")] pub enum E { X { n: u32 } } #[serde(tag = "t")] pub enum T { A(E) } } [T::A(E::X { n: 1 })]
        => { #[serde(tag = "k")] pub enum E { X { n: u32 }, Y { n: u32 } } #[serde(tag = "t")] pub enum T { A(E) } } [T::A(E::Y { n: 1 })];

    // Keys.
    keys_become_an_enum: { pub struct T { a: BTreeMap<String, u32> } } [T { a: map([(text("?"), 1)]) }]
        => { #[derive(PartialEq, Eq, PartialOrd, Ord)] pub enum E { A, B } pub struct T { a: BTreeMap<E, u32> } } [T { a: map([(E::A, 1), (E::B, 2)]) }];
    key_added: { #[derive(PartialEq, Eq, PartialOrd, Ord)] pub enum E { A } pub struct T { a: BTreeMap<E, u32> } } [T { a: map([(E::A, 1)]) }]
        => { #[derive(PartialEq, Eq, PartialOrd, Ord)] pub enum E { A, B } pub struct T { a: BTreeMap<E, u32> } } [T { a: map([(E::B, 2)]) }];
    keys_become_characters: { pub struct T { a: BTreeMap<String, u32> } } [T { a: map([(text("long"), 1)]) }]
        => { pub struct T { a: BTreeMap<char, u32> } } [T { a: map([('x', 1)]) }];
    keys_become_bools: { pub struct T { a: BTreeMap<String, u32> } } [T { a: map([(text("long"), 1)]) }]
        => { pub struct T { a: BTreeMap<bool, u32> } } [T { a: map([(true, 1)]) }];
    keys_become_documented: { pub struct T { a: BTreeMap<String, u32> } } [T { a: map([(text("?"), 1)]) }]
        => {
            #[derive(PartialEq, Eq, PartialOrd, Ord)]
            pub enum E {
                /// The first.
                A,
            }
            pub struct T { a: BTreeMap<E, u32> }
        } [T { a: map([(E::A, 1)]) }];
    keys_become_addresses: { pub struct T { a: BTreeMap<String, u32> } } [T { a: map([(text("?"), 1)]) }]
        => { pub struct T { a: BTreeMap<std::net::Ipv4Addr, u32> } } [T { a: map([([127, 0, 0, 1].into(), 1)]) }];
    map_becomes_pairs: { pub struct T { a: BTreeMap<u32, u32> } } [T { a: map([(1, 1)]) }] => { pub struct T { a: Vec<(u32, u32)> } } [T { a: vec![(1, 1)] }];
    map_becomes_struct: { pub struct T { a: BTreeMap<String, u32> } } [T { a: map([(text("y"), 1)]) }]
        => { pub struct I { x: u32 } pub struct T { a: I } } [T { a: I { x: 1 } }];

    map_becomes_struct_of_another_type: { pub struct T { a: BTreeMap<String, u32> } } [T { a: map([(text("x"), 1)]) }]
        => { pub struct I { #[serde(default)] x: String } pub struct T { a: I } } [T { a: I { x: text("y") } }];
    map_becomes_struct_that_denies: { pub struct T { a: BTreeMap<String, u32> } } [T { a: map([(text("z"), 1)]) }]
        => { #[serde(deny_unknown_fields)] pub struct I { #[serde(default)] x: u32 } pub struct T { a: I } } [T { a: I { x: 1 } }];

    // Numbers.
    number_of_128_bits_narrowed: { pub struct T { a: u128 } } [T { a: u128::MAX }] => { pub struct T { a: u64 } } [T { a: 1 }];
    number_of_128_bits_signed: { pub struct T { a: u128 } } [T { a: u128::MAX }] => { pub struct T { a: i128 } } [T { a: -1 }];
    number_of_128_bits_becomes_float: { pub struct T { a: u128 } } [T { a: u128::MAX }] => { pub struct T { a: f64 } } [T { a: 0.5 }];
    number_of_128_bits_becomes_anything: { pub struct T { a: i128 } } [T { a: i128::MIN }] => { pub struct T { a: Value } } [T { a: json!("x") }];
    not_zero_becomes_any: { pub struct T { a: NonZeroU8 } } [T { a: NonZeroU8::MIN }] => { pub struct T { a: u16 } } [T { a: 0 }];
    nested_128_bits_become_anything: { pub struct I { a: u128 } pub struct T { i: Vec<I> } } [T { i: vec![I { a: u128::MAX }] }]
        => { pub struct T { i: Value } } [T { i: json!("x") }];
    map_of_128_bits_becomes_anything: { pub struct T { i: BTreeMap<String, u128> } } [T { i: map([(text("x"), u128::MAX)]) }]
        => { pub struct T { i: Value } } [T { i: json!("x") }];

    // Lists.
    array_longer: { pub struct T { a: [u8; 4] } } [T { a: [1; 4] }] => { pub struct T { a: [u8; 5] } } [T { a: [1; 5] }];
    array_of_arrays: { pub struct T { a: [[u32; 2]; 2] } } [T { a: [[1; 2]; 2] }] => { pub struct T { a: [[u32; 3]; 2] } } [T { a: [[1; 3]; 2] }];
    empty_array: { pub struct T { a: [u32; 0] } } [T { a: [] }] => { pub struct T { a: Vec<String> } } [T { a: vec![text("x")] }];
    bytes_become_text: { pub struct T { a: Vec<u8> } } [T { a: vec![1] }] => { pub struct T { a: String } } [T { a: text("x") }];

    // Texts.
    long_values_become_characters: { pub enum E { Long } pub struct T { a: E } } [T { a: E::Long }] => { pub struct T { a: char } } [T { a: 'x' }];
    short_values_become_characters: { pub enum E { A } pub struct T { a: E } } [T { a: E::A }] => { pub struct T { a: char } } [T { a: 'x' }];
    one_address_becomes_any: { pub struct T { a: std::net::Ipv4Addr } } [T { a: [127, 0, 0, 1].into() }]
        => { pub struct T { a: std::net::IpAddr } } [T { a: std::net::Ipv6Addr::LOCALHOST.into() }];

    // Flattened types that deny.
    flattened_and_denied: { pub struct T { a: u32, x: u32, y: u32 } } [T { a: 1, x: 2, y: 3 }]
        => { pub struct I { x: u32 } #[serde(deny_unknown_fields)] pub struct T { a: u32, #[serde(flatten)] i: I } } [T { a: 1, i: I { x: 2 } }];
    flattened_denies: { pub struct T { a: u32, x: u32, y: u32 } } [T { a: 1, x: 2, y: 3 }]
        => { #[serde(deny_unknown_fields)] pub struct I { x: u32 } pub struct T { a: u32, #[serde(flatten)] i: I } } [T { a: 1, i: I { x: 2 } }];
    flattened_option_and_denied: { pub struct T { a: u32, y: u32 } } [T { a: 1, y: 3 }]
        => { pub struct I { x: u32 } #[serde(deny_unknown_fields)] pub struct T { a: u32, #[serde(flatten)] i: Option<I> } } [T { a: 1, i: None }];
    flattened_map_and_denied: { pub struct T { a: u32, y: String } } [T { a: 1, y: text("x") }]
        => { #[serde(deny_unknown_fields)] pub struct T { a: u32, #[serde(flatten)] i: BTreeMap<String, u32> } } [T { a: 1, i: map([(text("x"), 1)]) }];
    flattened_twice: { pub struct I { x: u32 } pub struct J { y: u32 } pub struct T { #[serde(flatten)] i: I, #[serde(flatten)] j: J } } [T { i: I { x: 1 }, j: J { y: 1 } }]
        => { pub struct I { x: u32 } pub struct J { y: String } pub struct T { #[serde(flatten)] i: I, #[serde(flatten)] j: J } } [T { i: I { x: 1 }, j: J { y: text("x") } }];
    flattened_in_a_variant: { pub struct I { x: u32 } #[serde(tag = "t")] pub enum T { A { #[serde(flatten)] i: I } } } [T::A { i: I { x: 1 } }]
        => { pub struct I { x: u32, y: u32 } #[serde(tag = "t")] pub enum T { A { #[serde(flatten)] i: I } } } [T::A { i: I { x: 1, y: 1 } }];
    flattened_untagged: { #[serde(untagged)] pub enum E { A { x: u32 }, B { y: u32 } } pub struct T { a: u32, #[serde(flatten)] e: E } } [T { a: 1, e: E::A { x: 1 } }, T { a: 1, e: E::B { y: 1 } }]
        => { #[serde(untagged)] pub enum E { A { x: u32 } } pub struct T { a: u32, #[serde(flatten)] e: E } } [T { a: 1, e: E::A { x: 1 } }];
    struct_of_a_variant_denies: { #[serde(tag = "t")] pub enum T { A { x: u32 } } } [T::A { x: 1 }]
        => { #[serde(tag = "t", deny_unknown_fields)] pub enum T { A { x: u32 } } } [T::A { x: 1 }];

    // Types with one name.
    same_names_swapped: { pub struct T { x: one::I, y: two::I } } [T { x: one::I { a: 1 }, y: two::I { b: text("x") } }]
        => { pub struct T { y: two::I, x: one::I } } [T { y: two::I { b: text("x") }, x: one::I { a: 1 } }];
    same_names_exchanged: { pub struct T { x: one::I, y: two::I } } [T { x: one::I { a: 1 }, y: two::I { b: text("x") } }]
        => { pub struct T { x: two::I, y: one::I } } [T { x: two::I { b: text("x") }, y: one::I { a: 1 } }];
    same_names_skipped: { pub struct T { #[serde(skip_serializing)] x: Option<one::I>, y: two::I } } [T { x: None, y: two::I { b: text("x") } }]
        => { pub struct T { y: two::I } } [T { y: two::I { b: text("x") } }];
    generic_of_another_module: { pub struct T { x: one::G<one::I> } } [T { x: one::G { it: one::I { a: 1 } } }]
        => { pub struct T { x: two::G<one::I> } } [T { x: two::G { it: vec![one::I { a: 1 }] } }];
    generic_of_another_type: { pub struct T { x: one::G<one::I> } } [T { x: one::G { it: one::I { a: 1 } } }]
        => { pub struct T { x: one::G<two::I> } } [T { x: one::G { it: two::I { b: text("x") } } }];
}
