//! The fields of a variant are serde types.
use tidings::prelude::*;

struct Key;

#[derive(Event)]
enum Cache {
    Clear { key: Key },
}

fn main() {}
