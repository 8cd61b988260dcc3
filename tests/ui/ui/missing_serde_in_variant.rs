//! What a named variant holds is a serde type.
use tidings::prelude::*;

struct Key;

#[derive(Event)]
enum Cache {
    #[event("cache.clear")]
    Clear(Key),
}

fn main() {}
