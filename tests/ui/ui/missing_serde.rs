//! An event must implement serde's traits.
use tidings::prelude::*;

#[derive(Event)]
struct Changed {
    id: u64,
}

fn main() {}
