//! An event is written by serde.
use tidings::prelude::*;

#[derive(Deserialize, Event)]
struct Changed {
    id: u64,
}

fn main() {}
