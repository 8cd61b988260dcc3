//! The payload of a named variant must implement serde's traits.
use tidings::prelude::*;

struct Key;

#[derive(Event)]
enum Cache {
    #[event("cache.clear")]
    Clear(Key),
}

fn main() {}
