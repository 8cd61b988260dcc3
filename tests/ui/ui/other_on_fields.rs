//! `other` needs one `Unknown` to keep the event in.
use tidings::prelude::*;

#[derive(Event)]
enum Account {
    Reloaded,
    #[event(other)]
    Other { name: String },
}

fn main() {}
