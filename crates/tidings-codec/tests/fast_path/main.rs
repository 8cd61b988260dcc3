//! Decodes generated and mutated payloads of many shapes: the fast path reads the same as
//! `serde_json` and rmp-serde, or is unsure.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "numbers are random, and a panic is how a test fails"
)]

#[path = "../../fuzz/differential.rs"]
mod differential;
#[path = "../../fuzz/probe.rs"]
mod probe;

use std::env;

use serde_json::{Map, Value, json};
use tidings_codec::Format;

use crate::differential::{Outcome, PROBES, shapes};

/// The number of payloads in each format; in the long run, `cargo xtask test --long`.
const PAYLOADS: u64 = 60_000;
const MANY_PAYLOADS: u64 = 5_000_000;

#[test]
fn the_fast_path_reads_json_as_serde_json_does() {
    check(Format::Json);
}

#[test]
fn the_fast_path_reads_message_pack_as_rmp_serde_does() {
    check(Format::MessagePack);
}

fn check(format: Format) {
    let shapes = shapes();
    let pool: Vec<_> = shapes
        .iter()
        .flat_map(|shape| shape.payloads(format))
        .collect();
    let is_long = env::var_os("TIDINGS_TEST_LONG").is_some();
    let (mut random, mut counts) = (Random(0x7469_6469_6e67_7321), [0_u64; 3]);
    for _ in 0..if is_long { MANY_PAYLOADS } else { PAYLOADS } {
        let shape = match random.below(3) {
            0 => &shapes[0],
            _ => random.one(&shapes),
        };
        let mut payload = match random.below(3) {
            0 if !shape.payloads(format).is_empty() => random.one(shape.payloads(format)).clone(),
            1 => {
                let mut bytes = Vec::new();
                format.encode(&random.value(4), &mut bytes).unwrap();
                bytes
            }
            _ => (*random.one(&pool)).clone(),
        };
        for _ in 0..random.below(3) {
            random.mutate(format, &mut payload, &pool);
        }
        probe::seed(random.next());
        counts[(shape.check)(format, &payload) as usize] += 1;
    }
    // The payloads prove nothing if most are rejected, or if the fast path is unsure of them.
    let [fast, other, rejected] = counts;
    println!("fast {fast}, other {other}, rejected {rejected}");
    assert!(
        fast > rejected / 8 && fast > other,
        "fast {fast}, other {other}, rejected {rejected}"
    );
}

#[test]
fn the_fast_path_decodes_what_nodes_write() {
    let slow = [
        // Keys of numbers and booleans, and a type that reads nothing.
        (
            Format::Json,
            &[
                "internal",
                "map of numbers",
                "map of signed numbers",
                "map of flags",
            ][..],
        ),
        (Format::MessagePack, &["list of nothing"]),
    ];
    for (format, slow) in slow {
        for shape in &shapes()[PROBES..] {
            for payload in shape.payloads(format) {
                let outcome = (shape.check)(format, payload);
                // After an error, which a lenient type ignores, the fast path is unsure.
                let is_slow = slow.contains(&shape.name) || shape.name.contains("lenient");
                let is_expected = outcome != Outcome::Other || is_slow;
                assert!(is_expected, "{format} {}: {payload:02x?}", shape.name);
            }
        }
    }
}

/// Parts of JSON, many of them at a limit of a type.
const JSON: [&[u8]; 34] = [
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"-",
    b"00",
    b"1.5",
    b"1e5",
    b"1E+2",
    b"-1.0e-7",
    b"18446744073709551615",
    b"18446744073709551616",
    b"-9223372036854775808",
    b"-9223372036854775809",
    b"9999999999999999999",
    b"1e999",
    b"\"\"",
    b"\"\\n\"",
    b"\"\\ud800\"",
    b"\"Unit\"",
    b"\"id\":",
    b"\"7\":",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b" ",
    b"\n",
    b"\x0b",
    b"\xff",
    b"{\"a\":[]}",
];

/// Parts of MessagePack, many of them at a limit of a type.
const MSGPACK: [&[u8]; 30] = [
    b"\xc0",
    b"\xc1",
    b"\xc2",
    b"\xc3",
    b"\x00",
    b"\x7f",
    b"\xff",
    b"\xe0",
    b"\xcc\xff",
    b"\xcd\xff\xff",
    b"\xce\x00\x00\x00\x01",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd0\x80",
    b"\xd1\x80\x00",
    b"\xd3\x00\x00\x00\x00\x00\x00\x00\x01",
    b"\xca\x3f\x80\x00\x00",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xa0",
    b"\xa2id",
    b"\xa4Unit",
    b"\xd9\x01a",
    b"\xda\x00\x01a",
    b"\xa1\xff",
    b"\xc4\x01a",
    b"\x90",
    b"\x91",
    b"\x80",
    b"\x81",
    b"\xdc\x00\x01",
    b"\xd4\x01\x01",
];

/// A generator of payloads and mutations.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, below: usize) -> usize {
        (self.next() >> 11) as usize % below
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Returns a value with the keys and the variants of the shapes.
    fn value(&mut self, levels: usize) -> Value {
        const WORDS: [&str; 16] = [
            "id", "customer", "inner", "type", "kind", "value", "Unit", "Newtype", "Tuple",
            "Struct", "Ok", "count", "7", "-1", "true", "ä\n",
        ];
        match self.below(if levels == 0 { 7 } else { 10 }) {
            0 => Value::Null,
            1 => (self.below(2) == 0).into(),
            2 => (self.below(300) as i64 - 40).into(),
            3 => (self.next() as i64 >> self.below(64)).into(),
            4 => json!(self.below(1_000) as f64 / 8.0),
            5 | 6 => (*self.one(&WORDS)).into(),
            7 => (0..self.below(5)).map(|_| self.value(levels - 1)).collect(),
            _ => {
                let entries = (0..self.below(5)).map(|_| {
                    let key = (*self.one(&WORDS)).to_owned();
                    (key, self.value(levels - 1))
                });
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }

    /// Changes a few bytes, or copies a part of another payload.
    fn mutate(&mut self, format: Format, payload: &mut Vec<u8>, pool: &[&Vec<u8>]) {
        let at = self.below(payload.len() + 1);
        let end = (at + self.below(6)).min(payload.len());
        match self.below(8) {
            0 | 1 => {
                let token = match format {
                    Format::Json => *self.one(&JSON),
                    Format::MessagePack => *self.one(&MSGPACK),
                };
                let end = if self.below(2) == 0 { at } else { end };
                payload.splice(at..end, token.iter().copied());
            }
            2 => drop(payload.drain(at..end)),
            3 => payload[at..end]
                .iter_mut()
                .for_each(|byte| *byte = self.next() as u8),
            4 => {
                let other = self.one(pool);
                let from = self.below(other.len() + 1);
                let to = (from + self.below(40)).min(other.len());
                payload.splice(at..end, other[from..to].iter().copied());
            }
            5 => {
                let copy = payload[at..].to_vec();
                let to = self.below(payload.len() + 1);
                payload.splice(to..to, copy.into_iter().take(20));
            }
            6 if self.below(4) == 0 => payload.truncate(at),
            _ => {
                // One byte becomes a similar one: another digit, marker, bracket.
                if let Some(byte) = payload.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
    }
}
