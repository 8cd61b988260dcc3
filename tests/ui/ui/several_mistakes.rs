//! Each error is reported.
use tidings::prelude::*;

#[derive(Event)]
enum Account {
    #[event]
    Deleted { id: u64 },
    #[event("a b")]
    Removed { id: u64 },
    Kept { id: u64 },
}

fn main() {}
