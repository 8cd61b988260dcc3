//! A newtype variant without a name must hold an event.
use tidings::prelude::*;

#[derive(Event)]
enum Cache {
    Clear(String),
}

fn main() {}
