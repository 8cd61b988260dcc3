//! An enum is no event itself.
use tidings::prelude::*;

#[derive(Event)]
#[event("user", since = "1.2")]
enum Account {
    Deleted { id: u64 },
}

fn main() {}
