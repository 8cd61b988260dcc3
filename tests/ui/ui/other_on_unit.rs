//! `other` needs an `Unknown` to keep the event in.
use tidings::prelude::*;

#[derive(Event)]
enum Account {
    Reloaded,
    #[event(other)]
    Other,
}

fn main() {}
