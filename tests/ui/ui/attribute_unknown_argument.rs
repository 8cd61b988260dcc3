//! The only keyword of the attribute is `other`.
use tidings::prelude::*;

#[derive(Event)]
enum Account {
    #[event(rest)]
    Other(Unknown),
}

fn main() {}
