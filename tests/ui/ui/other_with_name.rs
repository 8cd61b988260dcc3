//! `other` has no name.
use tidings::prelude::*;

#[derive(Event)]
enum Account {
    #[event(other, "account.other")]
    Other(Unknown),
}

fn main() {}
