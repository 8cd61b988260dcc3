//! A variant without a name nests an event.
use tidings::prelude::*;

#[derive(Event)]
enum Cache {
    Clear(String),
}

fn main() {}
