//! The fields of a variant must implement serde's traits.
use tidings::prelude::*;

struct Key;

#[derive(Event)]
enum Cache {
    Clear { key: Key },
}

fn main() {}
