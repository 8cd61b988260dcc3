//! An event is read by serde.
use tidings::prelude::*;

#[derive(Serialize, Event)]
struct Changed {
    id: u64,
}

fn main() {}
