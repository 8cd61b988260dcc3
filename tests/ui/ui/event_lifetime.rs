//! An event owns what it holds.
use tidings::prelude::*;

#[derive(Serialize, Event)]
struct Changed<'a> {
    name: &'a str,
}

fn main() {}
