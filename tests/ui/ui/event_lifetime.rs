//! An event cannot have lifetimes.
use tidings::prelude::*;

#[derive(Serialize, Event)]
struct Changed<'a> {
    name: &'a str,
}

fn main() {}
