//! An event must implement `Serialize`.
use tidings::prelude::*;

#[derive(Deserialize, Event)]
struct Changed {
    id: u64,
}

fn main() {}
