//! An event must implement `Deserialize`.
use tidings::prelude::*;

#[derive(Serialize, Event)]
struct Changed {
    id: u64,
}

fn main() {}
