//! A variant `other` cannot be a unit.
use tidings::prelude::*;

#[derive(Event)]
enum Account {
    Reloaded,
    #[event(other)]
    Other,
}

fn main() {}
