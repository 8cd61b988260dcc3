//! A variant `other` has one unnamed field.
use tidings::prelude::*;

#[derive(Event)]
enum Account {
    Reloaded,
    #[event(other)]
    Other { name: String },
}

fn main() {}
