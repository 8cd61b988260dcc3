//! Only one variant can be `other`.
use tidings::prelude::*;

#[derive(Event)]
enum Account {
    #[event(other)]
    Other(Unknown),
    #[event(other)]
    Rest(Unknown),
}

fn main() {}
