//! An event is a serde type.
use tidings::prelude::*;

#[derive(Event)]
struct Changed {
    id: u64,
}

fn main() {}
