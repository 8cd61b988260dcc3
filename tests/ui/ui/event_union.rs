//! A union is no event.
use tidings::prelude::*;

#[derive(Event)]
union Changed {
    id: u64,
}

fn main() {}
