//! A union cannot be an event.
use tidings::prelude::*;

#[derive(Event)]
union Changed {
    id: u64,
}

fn main() {}
