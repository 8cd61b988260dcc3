//! Only `other` is a word of the attribute.
use tidings::prelude::*;

#[derive(Event)]
enum Account {
    #[event(rest)]
    Other(Unknown),
}

fn main() {}
