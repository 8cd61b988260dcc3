//! One variant takes the rest.
use tidings::prelude::*;

#[derive(Event)]
enum Account {
    #[event(other)]
    Other(Unknown),
    #[event(other)]
    Rest(Unknown),
}

fn main() {}
